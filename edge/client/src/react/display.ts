import { PresenceStatus } from '../generated/index.js';

export interface PresenceStatusDisplay {
  color: 'green' | 'yellow' | 'red' | 'gray';
  label: string;
  icon: string;
}

const displays: Record<PresenceStatus, PresenceStatusDisplay> = {
  online: { color: 'green', label: 'Online', icon: '●' },
  away: { color: 'yellow', label: 'Away', icon: '◐' },
  busy: { color: 'red', label: 'Busy', icon: '⊖' },
  offline: { color: 'gray', label: 'Offline', icon: '○' },
};

/** How a status is shown. What is not a status is shown as offline. */
export function getPresenceStatusDisplay(status: PresenceStatus): PresenceStatusDisplay {
  return displays[status] ?? displays.offline;
}

/** How long ago a time was, in words. */
export function formatLastSeen(lastSeen: string | Date, now: Date = new Date()): string {
  const at = new Date(lastSeen);
  const minutes = Math.floor((now.getTime() - at.getTime()) / 60_000);
  if (Number.isNaN(minutes)) return 'Never';
  if (minutes < 1) return 'Just now';
  if (minutes < 60) return ago(minutes, 'minute');
  if (minutes < 24 * 60) return ago(minutes / 60, 'hour');
  if (minutes < 7 * 24 * 60) return ago(minutes / (24 * 60), 'day');
  return at.toLocaleDateString();
}

function ago(count: number, unit: 'minute' | 'hour' | 'day'): string {
  return new Intl.RelativeTimeFormat('en').format(-Math.floor(count), unit);
}
