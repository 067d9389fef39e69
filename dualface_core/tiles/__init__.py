"""What each output frame shows: layouts, virtual cameras, the plan and its rendering."""
