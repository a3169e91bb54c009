"""Running what somebody else wrote: in this process, or in one of its own with limits."""
