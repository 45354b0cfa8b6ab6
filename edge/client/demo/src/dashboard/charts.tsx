import type { ActivityFeedEvent, CaseStatsEvent } from '@lexiflow/realtime';
import { Bar, BarChart, CartesianGrid, Legend, ResponsiveContainer, Tooltip, XAxis, YAxis } from 'recharts';
import { useNow } from '../ago';

const MINUTES = 30;
const tick = { fill: 'var(--soft)', fontSize: 12 };
const tooltip = {
  contentStyle: { background: 'var(--panel)', border: '1px solid var(--line)', borderRadius: 8, color: 'var(--ink)' },
  itemStyle: { color: 'var(--ink)' },
  cursor: { fill: 'var(--sunken)', stroke: 'var(--line-strong)' },
};

/** The newest activities by minute. What the picture says is also said in words. */
export function ActivityChart({ activities }: { activities: readonly ActivityFeedEvent[] }) {
  const now = Math.floor(Math.max(useNow(), ...activities.slice(0, 1).map((a) => Date.parse(a.timestamp))) / 60_000);
  const minutes = Array.from({ length: MINUTES }, (_, i) => ({ minute: now - MINUTES + 1 + i, events: 0 }));
  for (const { timestamp } of activities) {
    const at = Math.floor(Date.parse(timestamp) / 60_000) - (now - MINUTES + 1);
    if (minutes[at]) minutes[at].events++;
  }
  const all = minutes.reduce((sum, { events }) => sum + events, 0);
  const clock = (minute: number) => new Date(minute * 60_000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return (
    <figure role="img" aria-label={`Activities by minute: ${all} of the newest 50 in the last ${MINUTES} minutes, ${minutes.at(-1)!.events} in this one`}>
      <ResponsiveContainer width="100%" height={210}>
        <BarChart data={minutes} margin={{ top: 8, right: 8, bottom: 0, left: -24 }} accessibilityLayer={false}>
          <CartesianGrid stroke="var(--line)" vertical={false} />
          <XAxis dataKey="minute" tickFormatter={clock} tick={tick} stroke="var(--line-strong)" minTickGap={40} />
          <YAxis allowDecimals={false} tick={tick} stroke="var(--line-strong)" />
          <Tooltip {...tooltip} labelFormatter={(minute) => clock(Number(minute))} />
          <Bar dataKey="events" name="Activities" fill="var(--accent)" isAnimationActive={false} radius={[2, 2, 0, 0]} />
        </BarChart>
      </ResponsiveContainer>
    </figure>
  );
}

/** Open tasks, deadlines and recent events of the cases that moved. */
export function CaseChart({ stats }: { stats: readonly CaseStatsEvent[] }) {
  const data = stats.slice(-6).map((s) => ({ name: s.caseId, Tasks: s.activeTasks, Deadlines: s.upcomingDeadlines, Events: s.recentUpdates, progress: s.progress }));
  const words = data.map((d) => `${d.name}: ${d.Tasks} open tasks, ${d.Deadlines} deadlines, ${d.Events} events, ${Math.round(d.progress)} per cent done`).join('; ');
  return (
    <figure role="img" aria-label={`Work by case. ${words}`}>
      <ResponsiveContainer width="100%" height={210}>
        <BarChart data={data} margin={{ top: 8, right: 8, bottom: 0, left: -24 }} accessibilityLayer={false}>
          <CartesianGrid stroke="var(--line)" vertical={false} />
          <XAxis dataKey="name" tick={tick} stroke="var(--line-strong)" />
          <YAxis allowDecimals={false} tick={tick} stroke="var(--line-strong)" />
          <Tooltip {...tooltip} />
          <Legend wrapperStyle={{ color: 'var(--ink)', fontSize: 12 }} formatter={(name: string) => <span className="legend">{name}</span>} />
          <Bar dataKey="Tasks" fill="var(--accent)" isAnimationActive={false} maxBarSize={36} radius={[3, 3, 0, 0]} />
          <Bar dataKey="Deadlines" fill="var(--brass)" isAnimationActive={false} maxBarSize={36} radius={[3, 3, 0, 0]} />
          <Bar dataKey="Events" fill="var(--blue)" isAnimationActive={false} maxBarSize={36} radius={[3, 3, 0, 0]} />
        </BarChart>
      </ResponsiveContainer>
    </figure>
  );
}
