import { DASHBOARD_TYPES, useDashboard } from '@lexiflow/realtime/react';
import { Activity, Briefcase, CalendarClock, ListChecks, RefreshCw } from 'lucide-react';
import { useEffect, type ReactNode } from 'react';
import { Ago } from '../ago';
import { useFailure } from '../failure';
import { useFirm } from '../firm';
import { createTask, systemAlert, uploadDocument } from '../happen';
import { nameOf } from '../people';
import { HOME } from '../route';
import { ActivityChart, CaseChart } from './charts';

/** The firm's figures, activity and alerts, as they move. */
export function DashboardPage() {
  const { metrics, activities, caseStats, alerts, refresh, subscribe } = useDashboard();
  const { all, me } = useFirm();
  const failed = useFailure();
  useEffect(() => void subscribe(DASHBOARD_TYPES).catch(() => {}), [subscribe]); // asking for them brings what was before
  return (
    <div className="dashboard">
      <header>
        <h1>The firm today</h1>
        <button type="button" className="quiet" onClick={() => void refresh().catch(failed('It was not refreshed'))}><RefreshCw aria-hidden />Refresh</button>
      </header>
      <dl className="figures">
        <Figure label="Active cases" value={metrics?.activeCases} icon={<Briefcase aria-hidden />} />
        <Figure label="Pending tasks" value={metrics?.pendingTasks} icon={<ListChecks aria-hidden />} />
        <Figure label="Deadlines in 7 days" value={metrics?.upcomingDeadlines} icon={<CalendarClock aria-hidden />} />
        <Figure label="Events in 24 hours" value={metrics?.recentActivity} icon={<Activity aria-hidden />} />
      </dl>
      <section className="card chart" aria-labelledby="activity-chart-title">
        <h2 id="activity-chart-title">Activity by minute</h2>
        <ActivityChart activities={activities} />
      </section>
      <section className="card chart" aria-labelledby="case-chart-title">
        <h2 id="case-chart-title">Cases by work</h2>
        {caseStats.size === 0
          ? <div className="empty"><p>No case has moved since this page was opened.</p><button type="button" onClick={() => void createTask(HOME, me.id).catch(failed('Nothing was published'))}>Assign a task</button></div>
          : <CaseChart stats={[...caseStats.values()]} />}
      </section>
      <section className="card feed" aria-labelledby="feed-title">
        <h2 id="feed-title">Activity</h2>
        {activities.length === 0 && <div className="empty"><p>Nothing has happened yet. What anybody does in a case shows here.</p><button type="button" onClick={() => void uploadDocument(HOME, me.id).catch(failed('Nothing was published'))}>Upload a document</button></div>}
        <ol>
          {activities.slice(0, 8).map((a) => (
            <li key={a.id}>
              <i data-type={a.type} aria-hidden />
              <div>
                <p className="title">{a.title}</p>
                <p className="soft">{[a.description, a.userId && nameOf(all, a.userId), a.caseName || a.caseId].filter((part) => part && part !== a.title).join(' · ')}</p>
                <p className="soft"><Ago at={a.timestamp} /></p>
              </div>
            </li>
          ))}
        </ol>
      </section>
      <section className="card alerts" aria-labelledby="alerts-title">
        <h2 id="alerts-title">Alerts</h2>
        {alerts.length === 0 && <div className="empty"><p>All is quiet. Alerts of deadlines and systems show here.</p><button type="button" onClick={() => void systemAlert().catch(failed('Nothing was published'))}>Raise one</button></div>}
        <ol aria-live="polite">
          {alerts.slice(0, 8).map((alert) => (
            <li key={`${alert.timestamp} ${alert.title}`} data-severity={alert.severity}>
              <p className="title"><span className="tag" data-tone={alert.severity === 'info' ? undefined : alert.severity === 'warning' ? 'brass' : 'red'}>{alert.severity}</span> {alert.title}</p>
              <p>{alert.message}</p>
              <p className="soft"><Ago at={alert.timestamp} /></p>
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

function Figure({ label, value, icon }: { label: string; value: number | undefined; icon: ReactNode }) {
  return (
    <div className="card">
      <dt>{icon}{label}</dt>
      <dd>{value ?? '–'}</dd>
    </div>
  );
}
