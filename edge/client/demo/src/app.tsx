import { LayoutDashboard, MessagesSquare, Scale } from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, type MouseEvent, type ReactNode } from 'react';
import { CasePage } from './case/page';
import { Failures } from './failure';
import { MessagesPage } from './messages/page';
import { go, HOME, pathOf, useRoute, type Route } from './route';
import { Bell } from './shell/bell';
import { Connection } from './shell/connection';
import { Happen } from './shell/happen';
import { People } from './shell/people';
import { ThemeButton } from './shell/theme-button';
import { Who } from './shell/who';

// Charts are half of the code, and two of three pages have none.
const DashboardPage = lazy(async () => ({ default: (await import('./dashboard/page')).DashboardPage }));

const titles = { case: 'Case', messages: 'Messages', dashboard: 'Dashboard' };

/** The window: navigation and people at the side, the page in the middle. */
export function App() {
  const route = useRoute();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${titles[route.page]} · LexiFlow`;
    if (!first.current) main.current?.focus(); // so that a change of page is noticed without eyes
    first.current = false;
  }, [route]);
  return (
    <Failures>
      <a className="skip" href="#main">Skip to the page</a>
      <div className="frame">
        <header className="top">
          <p className="brand">
            <img src="/favicon.svg" alt="" width="30" height="30" />
            <span>LexiFlow</span>
          </p>
          <Connection />
          <div className="tools">
            <Happen caseId={route.page === 'case' ? route.id : ''} />
            <Bell />
            <ThemeButton />
            <Who />
          </div>
        </header>
        <nav className="pages" aria-label="Pages">
          <PageLink to={{ page: 'case', id: route.page === 'case' ? route.id : HOME }} now={route}><Scale aria-hidden />Case</PageLink>
          <PageLink to={{ page: 'messages' }} now={route}><MessagesSquare aria-hidden />Messages</PageLink>
          <PageLink to={{ page: 'dashboard' }} now={route}><LayoutDashboard aria-hidden />Dashboard</PageLink>
        </nav>
        <People />
        <main id="main" ref={main} tabIndex={-1}>
          {route.page === 'case' && <CasePage key={route.id} caseId={route.id} />}
          {route.page === 'messages' && <MessagesPage />}
          {route.page === 'dashboard' && (
            <Suspense fallback={<p className="loading" role="status">Loading the dashboard</p>}><DashboardPage /></Suspense>
          )}
        </main>
      </div>
    </Failures>
  );
}

function PageLink({ to, now, children }: { to: Route; now: Route; children: ReactNode }) {
  const path = pathOf(to);
  const follow = (click: MouseEvent) => {
    if (click.metaKey || click.ctrlKey || click.shiftKey || click.button !== 0) return;
    click.preventDefault();
    go(path);
  };
  return <a href={path} aria-current={to.page === now.page ? 'page' : undefined} onClick={follow}>{children}</a>;
}
