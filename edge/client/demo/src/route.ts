// The addresses of the demo's pages. The window's user stays in the address, so that two windows can be
// two people.

import { useSyncExternalStore } from 'react';

export type Route = { page: 'case'; id: string } | { page: 'messages' } | { page: 'dashboard' };

/** The case that the demo begins with, and that `lexiflow up` says to publish to. */
export const HOME = '123';
const listeners = new Set<() => void>();

function read(): Route {
  const [, first, second] = location.pathname.split('/');
  if (first === 'messages') return { page: 'messages' };
  if (first === 'dashboard') return { page: 'dashboard' };
  return { page: 'case', id: first === 'case' && second ? decodeURIComponent(second) : HOME };
}

export function pathOf(route: Route): string {
  const path = route.page === 'case' ? (route.id === HOME ? '/' : `/case/${encodeURIComponent(route.id)}`) : `/${route.page}`;
  return path + location.search;
}

export function go(path: string): void {
  history.pushState(null, '', path);
  for (const listener of listeners) listener();
}

addEventListener('popstate', () => {
  for (const listener of listeners) listener();
});

let snapshot: { path: string; route: Route } | undefined;

export function useRoute(): Route {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => {
      if (snapshot?.path !== location.pathname) snapshot = { path: location.pathname, route: read() };
      return snapshot.route;
    },
  );
}
