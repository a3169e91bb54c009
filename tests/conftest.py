"""What all tests share: hypothesis does not judge by the clock, machines differ."""

from hypothesis import settings

settings.register_profile("chainrule", deadline=None)
settings.load_profile("chainrule")
