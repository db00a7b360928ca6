package plan

// Operations are the actions that each kind knows. A plan that was made by hand may hold others.
var Operations = map[Kind][]Action{
	KindProject: {ActionUpdate, ActionMove},
	KindImage:   {ActionNone, ActionPull},
	KindVolume:  {ActionNone, ActionCreate, ActionMove, ActionGrow, ActionUpdate, ActionReplace, ActionKeep},
	KindBundle:  {ActionNone, ActionBuild, ActionMove, ActionUpdate, ActionDelete},
	KindDisk:    {ActionNone},
	KindWorkspace: {ActionNone, ActionCreate, ActionUpdate, ActionRestart, ActionReplace,
		ActionStart, ActionStop, ActionWait, ActionDelete},
	KindRename: {ActionMove},
	KindTurn:   {ActionStop},
	KindReady:  {ActionWait},
	KindTask:   {ActionNone, ActionRun, ActionWait},
	KindOutput: {ActionNone, ActionCollect},
}
