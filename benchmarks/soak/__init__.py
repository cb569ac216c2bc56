"""An hour under a steady load: does anything grow, does anything drift?"""
