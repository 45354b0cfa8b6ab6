import type { Realtime } from '../core/client.js';
import { settled, type Subscription } from '../core/interests.js';
import { shared } from '../core/shared.js';
import type { ActivityFeedEvent, CaseStatsEvent, DashboardAlertEvent, DashboardMetricsEvent, TeamActivityEvent } from '../generated/index.js';
import { LiveStore, prepend } from './live.js';

export interface DashboardState {
  readonly metrics: DashboardMetricsEvent | null;
  /** Newest first, 50 at most. */
  readonly activities: readonly ActivityFeedEvent[];
  readonly caseStats: ReadonlyMap<string, CaseStatsEvent>;
  /** Newest first, 50 at most. */
  readonly teamActivities: readonly TeamActivityEvent[];
  /** Newest first, 50 at most. */
  readonly alerts: readonly DashboardAlertEvent[];
}

const EMPTY: DashboardState = { metrics: null, activities: [], caseStats: new Map(), teamActivities: [], alerts: [] };
const MAX = 50;

/** What a dashboard may show, and all of what a socket gets that has asked for nothing. */
export const DASHBOARD_TYPES = ['metrics', 'activity', 'case-stats', 'team-activity', 'alert'] as const;

/** What moves on a dashboard. */
export class DashboardStore extends LiveStore<DashboardState> {
  readonly #wishes = new Set<Wish>();

  protected override start(): void {
    this.on('dashboard:metrics', (metrics) => this.merge({ metrics }));
    this.on('dashboard:activity', (a) => this.apply((s) => ({ activities: prepend(s.activities, a, MAX) })));
    this.on('dashboard:case-stats', (c) => this.apply((s) => ({ caseStats: new Map(s.caseStats).set(c.caseId, c) })));
    this.on('dashboard:team-activity', (t) => this.apply((s) => ({ teamActivities: prepend(s.teamActivities, t, MAX) })));
    this.on('dashboard:alert', (a) => this.apply((s) => ({ alerts: prepend(s.alerts, a, MAX) })));
  }

  protected override connected(_fresh: boolean, late: boolean): void {
    if (late) void this.refresh().catch(() => {});
  }

  /** Asks for the metrics anew; they come as an event. */
  readonly refresh = async (): Promise<void> => {
    await this.ask('dashboard:request-refresh', {});
  };

  /** A place on the page that shows dashboards. It gets everything until it asks for something. */
  wish(): DashboardWish {
    const chosen = new Set<string>();
    const held = new Map<string, Subscription>();
    const wish: Wish = {
      chosen,
      follow: (some) => {
        const wanted: readonly string[] = !some ? [] : chosen.size > 0 ? [...chosen] : DASHBOARD_TYPES;
        for (const [type, subscription] of held) if (!wanted.includes(type) && held.delete(type)) subscription.release();
        for (const type of wanted) if (!held.has(type)) held.set(type, this.#acquire(type));
      },
    };
    const changed = async (types: readonly string[], change: (type: string) => void) => {
      types.forEach(change);
      this.#agree();
      await Promise.all([...held.values()].map((subscription) => settled(subscription)));
      return [...chosen];
    };
    return {
      hold: () => {
        this.#wishes.add(wish);
        this.#agree();
        return () => {
          this.#wishes.delete(wish);
          wish.follow(false);
          this.#agree();
        };
      },
      subscribe: (types) => changed(types, (type) => chosen.add(type)),
      unsubscribe: (types) => changed(types, (type) => chosen.delete(type)),
    };
  }

  // A socket that has asked for one type gets no others. As all of the page share it, whoever wants
  // everything has to say so as soon as somebody wants less.
  #agree(): void {
    const some = [...this.#wishes].some(({ chosen }) => chosen.size > 0);
    for (const wish of this.#wishes) wish.follow(some);
  }

  #acquire(type: string): Subscription {
    return this.channel.interests.acquire({
      subscribe: 'dashboard:subscribe', unsubscribe: 'dashboard:unsubscribe', data: { types: [type] }, list: 'types',
    });
  }
}

/** One place's share in what the socket gets. */
export interface DashboardWish {
  /** Counts until the returned function is called; what was chosen stays chosen. */
  hold(): () => void;
  /** Asks for types; resolves with all that this place has asked for when the server has answered. */
  subscribe(types: readonly string[]): Promise<string[]>;
  unsubscribe(types: readonly string[]): Promise<string[]>;
}

interface Wish {
  readonly chosen: ReadonlySet<string>;
  follow(some: boolean): void;
}

/** The client's dashboard. */
export function dashboardStore(client: Realtime): DashboardStore {
  return shared(client, 'dashboard', () => new DashboardStore(client, '/dashboard', EMPTY));
}
