"""What could stand in the way of an audit, or be harmed by one, found out before anything is created."""
