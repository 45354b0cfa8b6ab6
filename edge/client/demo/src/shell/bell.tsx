import { type NotificationItem, useNotifications } from '@lexiflow/realtime/react';
import { Bell as BellIcon, Check, CheckCheck, Trash2 } from 'lucide-react';
import { Popover } from 'radix-ui';
import { Ago } from '../ago';
import { useFailure } from '../failure';
import { useFirm } from '../firm';
import { notify } from '../happen';

/** The bell with its count, and the panel behind it. */
export function Bell() {
  const { notifications, unreadCount, isLoading, hasMore, error, markAllAsRead, loadMore, ...one } = useNotifications();
  const { me } = useFirm();
  const failed = useFailure();
  const label = `Notifications, ${unreadCount} unread`;
  return (
    <Popover.Root>
      <Popover.Trigger className="icon bell" aria-label={label}>
        <BellIcon aria-hidden />
        {unreadCount > 0 && <span className="count" aria-hidden>{unreadCount > 99 ? '99+' : unreadCount}</span>}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="panel notifications" align="end" sideOffset={8} collisionPadding={8} aria-label="Notifications">
          <header>
            <h2>Notifications</h2>
            <button type="button" className="quiet" disabled={unreadCount === 0} onClick={() => void markAllAsRead().catch(failed('Nothing was marked'))}>
              <CheckCheck aria-hidden />Mark all read
            </button>
          </header>
          {error && <p className="bad" role="alert">They could not be loaded: {error.message}.</p>}
          {notifications.length === 0 && !isLoading && !error && (
            <div className="empty">
              <p><b>You are up to date.</b></p>
              <p>What colleagues and deadlines want of you appears here, on all your devices.</p>
              <button type="button" onClick={() => void notify(me.id, 'somebody').catch(failed('Nobody was told'))}>Send yourself one</button>
            </div>
          )}
          <ul aria-label="Newest first">
            {notifications.map((n) => <Item key={n.id} of={n} {...one} />)}
          </ul>
          {hasMore && <button type="button" className="more" disabled={isLoading} onClick={() => void loadMore().catch(failed('No more could be loaded'))}>Show older</button>}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

type Actions = Pick<ReturnType<typeof useNotifications>, 'markAsRead' | 'markAsUnread' | 'deleteNotification'>;

function Item({ of, markAsRead, markAsUnread, deleteNotification }: { of: NotificationItem } & Actions) {
  const failed = useFailure();
  const mark = of.read ? markAsUnread : markAsRead;
  return (
    <li data-read={of.read} data-priority={of.priority}>
      <div>
        <p className="title">{!of.read && <span className="hidden">Unread: </span>}{of.title}</p>
        <p>{of.message}</p>
        <p className="soft"><span className="tag">{of.type.replaceAll('_', ' ')}</span> <Ago at={of.createdAt} /></p>
      </div>
      <div className="actions">
        <button type="button" className="icon" aria-label={`Mark ${of.read ? 'unread' : 'read'}: ${of.title}`} onClick={() => void mark(of.id).catch(failed('It was not marked'))}>
          <Check aria-hidden />
        </button>
        <button type="button" className="icon" aria-label={`Delete: ${of.title}`} onClick={() => void deleteNotification(of.id).catch(failed('It was not deleted'))}>
          <Trash2 aria-hidden />
        </button>
      </div>
    </li>
  );
}
