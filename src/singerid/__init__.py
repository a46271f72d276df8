"""singerid: who is singing?"""

__version__ = "0.1.0"
