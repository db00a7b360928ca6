package apply

import "microagent/runtime/driver"

// Drivers are all that an apply can touch the world with.
type Drivers struct {
	Images     driver.Images
	Disks      driver.Disks
	Volumes    driver.Volumes
	Workspaces driver.Workspaces
	Projects   driver.Projects
	Outputs    driver.Outputs
	Hosts      driver.Hosts
}
