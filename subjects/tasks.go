package subjects

// Tasks and deadlines. A task without a case goes to its user's room instead:
// TaskCreated.To(KindUser).
var (
	TaskCreated   = event[TaskCreatedEvent]("task:created", Log, KindCase)
	TaskUpdated   = event[TaskUpdatedEvent]("task:updated", Log, KindCase)
	TaskCompleted = event[TaskCompletedEvent]("task:completed", Log, KindCase)

	DeadlineApproaching = event[DeadlineApproachingEvent]("deadline:approaching", Log, KindCase)
	DeadlineMissed      = event[DeadlineMissedEvent]("deadline:missed", Log, KindCase)
)

// TaskCreatedEvent is the payload of [TaskCreated].
type TaskCreatedEvent struct {
	TaskID      string   `json:"taskId"`
	Title       string   `json:"title"`
	Description string   `json:"description,omitempty"`
	AssignedTo  string   `json:"assignedTo,omitempty"`
	CaseID      string   `json:"caseId,omitempty"`
	DueDate     string   `json:"dueDate,omitempty"`
	Priority    Priority `json:"priority"`
	CreatedBy   string   `json:"createdBy"`
	CreatedAt   Time     `json:"createdAt"`
	Base
}

// TaskUpdatedEvent is the payload of [TaskUpdated].
type TaskUpdatedEvent struct {
	TaskID    string  `json:"taskId"`
	Changes   Changes `json:"changes"`
	UpdatedBy string  `json:"updatedBy"`
	UpdatedAt Time    `json:"updatedAt"`
	Base
}

// TaskCompletedEvent is the payload of [TaskCompleted].
type TaskCompletedEvent struct {
	TaskID      string `json:"taskId"`
	Title       string `json:"title"`
	CompletedBy string `json:"completedBy"`
	CompletedAt Time   `json:"completedAt"`
	CaseID      string `json:"caseId,omitempty"`
	Base
}

// DeadlineApproachingEvent is the payload of [DeadlineApproaching].
type DeadlineApproachingEvent struct {
	DeadlineID    string           `json:"deadlineId"`
	CaseID        string           `json:"caseId"`
	CaseName      string           `json:"caseName"`
	Description   string           `json:"description"`
	DueDate       string           `json:"dueDate"`
	TimeRemaining int64            `json:"timeRemaining"` // milliseconds
	Severity      DeadlineSeverity `json:"severity"`
	Base
}

// DeadlineMissedEvent is the payload of [DeadlineMissed].
type DeadlineMissedEvent struct {
	DeadlineID  string `json:"deadlineId"`
	CaseID      string `json:"caseId"`
	CaseName    string `json:"caseName"`
	Description string `json:"description"`
	DueDate     string `json:"dueDate"`
	MissedBy    int64  `json:"missedBy"` // milliseconds
	Base
}

// DeadlineSeverity is how near a deadline is.
type DeadlineSeverity string

// The severities of a deadline.
const (
	DeadlineInfo    DeadlineSeverity = "info"
	DeadlineWarning DeadlineSeverity = "warning"
	DeadlineUrgent  DeadlineSeverity = "urgent"
)

// Values lists the type's members for generators.
func (DeadlineSeverity) Values() []string { return []string{"info", "warning", "urgent"} }
