package dashboardd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// alerts are what is still to be announced, and which troubles of the backbone have been. As with the
// feeds, the log is the outbox: an alert that stands in it leaves the list.
type alerts struct {
	Waiting []alert         `json:"waiting,omitempty"`
	ToldAt  uint64          `json:"toldAt,omitempty"` // sequence of the last alert to everybody
	Raised  map[string]bool `json:"raised,omitempty"` // troubles that were announced and not called off
	Lost    uint64          `json:"lost,omitempty"`   // alerts beyond the bounds below
}

// alert is one system:alert on its way to the dashboards.
type alert struct {
	Seq   uint64                       `json:"seq"` // of its cause
	Event subjects.DashboardAlertEvent `json:"event"`
	Users []string                     `json:"users,omitempty"` // who has not been told yet; nil is everybody
}

const (
	maxWaiting  = 1000 // alerts that may wait
	maxAffected = 1000 // users whom one alert names
)

// systemAlert is system:alert with every field optional.
type systemAlert struct {
	Type           string   `json:"type"`
	Severity       string   `json:"severity"`
	Title          string   `json:"title"`
	Message        string   `json:"message"`
	AffectedUsers  []string `json:"affectedUsers"`
	ActionRequired bool     `json:"actionRequired"`
	ActionURL      string   `json:"actionUrl"`
}

// applyAlert folds a system:alert. One that names more users than maxAffected is refused: it must
// neither reach those who are not meant nor cost a publish for each of a million ids.
func (t *tally) applyAlert(e event) error {
	var s systemAlert
	if err := decodeObject(e.Data, &s); err != nil {
		return fmt.Errorf("%s %d: %w", e.Name, e.Seq, err)
	}
	users := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(s.AffectedUsers))), func(id string) bool { return !validID(id) })
	t.shardAt[shardOf(scopeFirm)] = t.Seq
	switch {
	case len(users) > maxAffected || len(users) == 0 && len(s.AffectedUsers) > 0:
		t.alerts.Lost++
		return fmt.Errorf("%s %d: it names %d users, 1 to %d can be told", e.Name, e.Seq, len(s.AffectedUsers), maxAffected)
	case len(t.alerts.Waiting) >= maxWaiting:
		t.alerts.Lost++
		return fmt.Errorf("%s %d: %d alerts wait already", e.Name, e.Seq, maxWaiting)
	}
	if len(users) == 0 {
		users = nil
	}
	t.alerts.Waiting = append(t.alerts.Waiting, alert{Seq: e.Seq, Event: s.event(e.At), Users: users})
	t.touched.alerts = true
	return nil
}

func (s *systemAlert) event(at int64) subjects.DashboardAlertEvent {
	d := subjects.DashboardAlertEvent{
		Type: subjects.AlertSystem, Severity: subjects.Severity(s.Severity),
		Title: short(s.Title, maxTitle), Message: short(s.Message, 4*maxText),
		ActionRequired: s.ActionRequired, ActionURL: short(s.ActionURL, 4*maxText),
		Base: subjects.Base{Timestamp: timeOf(at)},
	}
	if s.Type == string(subjects.SystemAlertSecurity) {
		d.Type = subjects.AlertSecurity
	}
	if !slices.Contains(d.Severity.Values(), s.Severity) {
		d.Severity = subjects.SeverityInfo
	}
	return d
}

// Marks of alerts: the sequence of the cause, or "health:<trouble>:raised" and "…:over".
const (
	markHealth = "health:"
	markRaised = ":raised"
	markOver   = ":over"
)

// markAlert reads an alert that stands in the log.
func (t *tally) markAlert(e event, mark string) {
	t.shardAt[shardOf(scopeFirm)] = t.Seq
	if e.Kind == subjects.KindAll {
		t.alerts.ToldAt = e.Seq
	}
	if trouble, ok := strings.CutPrefix(mark, markHealth); ok && e.Kind == subjects.KindAll {
		t.markTrouble(trouble)
		return
	}
	cause, err := strconv.ParseUint(mark, 10, 64)
	i := slices.IndexFunc(t.alerts.Waiting, func(a alert) bool { return a.Seq == cause })
	if err != nil || i < 0 {
		return
	}
	a := &t.alerts.Waiting[i]
	if e.Kind == subjects.KindDashboard {
		a.Users = slices.DeleteFunc(a.Users, func(user string) bool { return user == e.ID })
		if len(a.Users) > 0 {
			return
		}
	}
	t.alerts.Waiting = slices.Delete(t.alerts.Waiting, i, i+1)
}

func (t *tally) markTrouble(mark string) {
	if trouble, ok := strings.CutSuffix(mark, markOver); ok {
		delete(t.alerts.Raised, trouble)
	} else if trouble, ok := strings.CutSuffix(mark, markRaised); ok {
		if t.alerts.Raised == nil {
			t.alerts.Raised = make(map[string]bool)
		}
		t.alerts.Raised[trouble] = true
	}
}
