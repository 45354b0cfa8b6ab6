package subjects

// Dashboards: gauges are replaced by newer ones, what happened is not. Figures and
// activity of a case go to the case's room, written once and not once per viewer;
// To(KindDashboard) is for what concerns one user alone.
var (
	DashboardMetrics      = event[DashboardMetricsEvent]("dashboard:metrics", State, KindDashboard)
	DashboardActivity     = event[ActivityFeedEvent]("dashboard:activity", Log, KindCase)
	DashboardCaseStats    = event[CaseStatsEvent]("dashboard:case-stats", State, KindCase)
	DashboardTeamActivity = event[TeamActivityEvent]("dashboard:team-activity", Log, KindTeam)
	DashboardAlert        = event[DashboardAlertEvent]("dashboard:alert", Log, KindDashboard)

	DashboardSubscribe   = command[DashboardTypes, DashboardSubscriptions]("dashboard:subscribe")
	DashboardUnsubscribe = command[DashboardTypes, DashboardSubscriptions]("dashboard:unsubscribe")
	DashboardRefresh     = command[None, Success]("dashboard:request-refresh")
)

// DashboardMetricsEvent is the payload of [DashboardMetrics].
type DashboardMetricsEvent struct {
	ActiveCases       int64              `json:"activeCases"`
	PendingTasks      int64              `json:"pendingTasks"`
	UpcomingDeadlines int64              `json:"upcomingDeadlines"`
	RecentActivity    int64              `json:"recentActivity"`
	TotalRevenue      *float64           `json:"totalRevenue,omitempty"`
	BillableHours     *float64           `json:"billableHours,omitempty"`
	CustomMetrics     map[string]float64 `json:"customMetrics,omitempty"`
	Base
}

// ActivityFeedEvent is the payload of [DashboardActivity].
type ActivityFeedEvent struct {
	ID          string       `json:"id"`
	Type        ActivityType `json:"type"`
	Title       string       `json:"title"`
	Description string       `json:"description"`
	UserID      string       `json:"userId,omitempty"`
	UserName    string       `json:"userName,omitempty"`
	CaseID      string       `json:"caseId,omitempty"`
	CaseName    string       `json:"caseName,omitempty"`
	Priority    Priority     `json:"priority,omitempty"`
	Base
}

// CaseStatsEvent is the payload of [DashboardCaseStats].
type CaseStatsEvent struct {
	CaseID            string  `json:"caseId"`
	Status            string  `json:"status"`
	Progress          float64 `json:"progress"` // per cent
	ActiveTasks       int64   `json:"activeTasks"`
	UpcomingDeadlines int64   `json:"upcomingDeadlines"`
	RecentUpdates     int64   `json:"recentUpdates"`
	Base
}

// TeamActivityEvent is the payload of [DashboardTeamActivity].
type TeamActivityEvent struct {
	UserID   string `json:"userId"`
	UserName string `json:"userName"`
	Action   string `json:"action"`
	Details  string `json:"details"`
	Base
}

// DashboardAlertEvent is the payload of [DashboardAlert].
type DashboardAlertEvent struct {
	Type           DashboardAlertType `json:"type"`
	Severity       Severity           `json:"severity"`
	Title          string             `json:"title"`
	Message        string             `json:"message"`
	ActionRequired bool               `json:"actionRequired,omitempty"`
	ActionURL      string             `json:"actionUrl,omitempty"`
	Base
}

// ActivityType is what an activity was.
type ActivityType string

// The activities.
const (
	ActivityCaseUpdate          ActivityType = "case_update"
	ActivityDocumentFiled       ActivityType = "document_filed"
	ActivityTaskCompleted       ActivityType = "task_completed"
	ActivityDeadlineApproaching ActivityType = "deadline_approaching"
	ActivityMessage             ActivityType = "message"
)

// Values lists the type's members for generators.
func (ActivityType) Values() []string {
	return []string{"case_update", "document_filed", "task_completed", "deadline_approaching", "message"}
}

// DashboardAlertType is what an alert is about.
type DashboardAlertType string

// The alerts.
const (
	AlertDeadline DashboardAlertType = "deadline"
	AlertTask     DashboardAlertType = "task"
	AlertSystem   DashboardAlertType = "system"
	AlertSecurity DashboardAlertType = "security"
)

// Values lists the type's members for generators.
func (DashboardAlertType) Values() []string {
	return []string{"deadline", "task", "system", "security"}
}

// DashboardTypes says which dashboard events a socket wants: metrics, activity,
// case-stats, team-activity, alert.
type DashboardTypes struct {
	Types List[string] `json:"types"`
}

// DashboardSubscriptions answers [DashboardSubscribe] and [DashboardUnsubscribe].
type DashboardSubscriptions struct {
	Success       bool         `json:"success"`
	Subscriptions List[string] `json:"subscriptions"`
}

// A FigureChange is the payload of lex.metric.<scope>.<name>, with which any service
// announces a figure that the log cannot tell, "revenue" or "billable-hours": Set or Add,
// not both. Add needs [HeaderMsgID], without which a repetition would count twice.
type FigureChange struct {
	Set *float64 `json:"set,omitempty"`
	Add *float64 `json:"add,omitempty"`
}
