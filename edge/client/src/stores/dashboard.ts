import type { Realtime } from '../core/client.js';
import { settled, type Subscription } from '../core/interests.js';
import type { ActivityFeedEvent, CaseStatsEvent, DashboardAlertEvent, DashboardMetricsEvent, TeamActivityEvent } from '../generated/index.js';
import { LiveStore, prepend, shared } from './shared.js';

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
  readonly #wishes = new Set<DashboardWish>();

  protected override start(keep: (end: () => void) => void): void {
    const { channel } = this;
    keep(channel.on('dashboard:metrics', (metrics) => this.merge({ metrics })));
    keep(channel.on('dashboard:activity', (a) => this.apply((s) => ({ ...s, activities: prepend(s.activities, a, MAX) }))));
    keep(channel.on('dashboard:case-stats', (c) => {
      this.apply((s) => ({ ...s, caseStats: new Map(s.caseStats).set(c.caseId, c) }));
    }));
    keep(channel.on('dashboard:team-activity', (t) => this.apply((s) => ({ ...s, teamActivities: prepend(s.teamActivities, t, MAX) }))));
    keep(channel.on('dashboard:alert', (a) => this.apply((s) => ({ ...s, alerts: prepend(s.alerts, a, MAX) }))));
  }

  protected override connected(_fresh: boolean, late: boolean): void {
    if (late) void this.refresh().catch(() => {});
  }

  /** Asks for the metrics anew; they come as an event. */
  readonly refresh = async (): Promise<void> => {
    await this.channel.ask('dashboard:request-refresh', {});
  };

  /** A place on the page that shows dashboards. It gets everything until it asks for something. */
  wish(): DashboardWish {
    const wish = new DashboardWish(
      (type) => this.channel.interests.acquire({ subscribe: 'dashboard:subscribe', unsubscribe: 'dashboard:unsubscribe', data: { types: [type] }, list: 'types' }),
      () => this.#agree(),
      () => {
        this.#wishes.delete(wish);
        this.#agree();
      },
    );
    this.#wishes.add(wish);
    this.#agree();
    return wish;
  }

  // A socket that has asked for one type gets no others. As all of the page share it, whoever wants
  // everything has to say so as soon as somebody wants less.
  #agree(): void {
    const some = [...this.#wishes].some(({ chosen }) => chosen);
    for (const wish of this.#wishes) wish.everything(some && !wish.chosen);
  }
}

/** One place's share in the socket's subscriptions. */
export class DashboardWish {
  readonly #acquire: (type: string) => Subscription;
  readonly #changed: () => void;
  readonly #gone: () => void;
  readonly #held = new Map<string, Subscription>();
  #all: Subscription[] = [];

  constructor(acquire: (type: string) => Subscription, changed: () => void, gone: () => void) {
    this.#acquire = acquire;
    this.#changed = changed;
    this.#gone = gone;
  }

  get chosen(): boolean {
    return this.#held.size > 0;
  }

  get types(): string[] {
    return [...this.#held.keys()];
  }

  /** Asks for types; resolves when the server has answered. */
  async subscribe(types: readonly string[]): Promise<string[]> {
    for (const type of types) if (!this.#held.has(type)) this.#held.set(type, this.#acquire(type));
    this.#changed();
    const asked = types.map((type) => this.#held.get(type)!);
    await Promise.all(asked.map((subscription) => settled(subscription)));
    return this.types;
  }

  async unsubscribe(types: readonly string[]): Promise<string[]> {
    for (const type of types) {
      this.#held.get(type)?.release();
      this.#held.delete(type);
    }
    this.#changed();
    return this.types;
  }

  everything(wanted: boolean): void {
    if (wanted === this.#all.length > 0) return;
    const before = this.#all;
    this.#all = wanted ? DASHBOARD_TYPES.map((type) => this.#acquire(type)) : [];
    for (const subscription of before) subscription.release();
  }

  release(): void {
    for (const subscription of [...this.#held.values(), ...this.#all]) subscription.release();
    this.#held.clear();
    this.#all = [];
    this.#gone();
  }
}

/** The client's dashboard. */
export function dashboardStore(client: Realtime): DashboardStore {
  return shared(client, 'dashboard', () => new DashboardStore(client.channel('/dashboard'), client.linger, EMPTY));
}
