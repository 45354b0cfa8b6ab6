import { CalendarClock, FileText, Gavel, ListChecks, Plus } from 'lucide-react';
import { useMemo, useState, type ReactNode } from 'react';
import { Ago } from '../ago';
import { useFailure } from '../failure';
import { useFirm } from '../firm';
import { addDocketEntry, changeStatus, completeTask, createTask, deadlineNears, openCase, processDocument, uploadDocument } from '../happen';
import { nameOf } from '../people';
import { type CaseView, fold } from './fold';
import { useCaseLog } from './log';

const statuses = ['open', 'discovery', 'hearing', 'settled', 'closed'];

/** One case: its documents, docket, tasks and deadlines, as they happen. */
export function CasePage({ caseId }: { caseId: string }) {
  const { events, loading, error, opened } = useCaseLog(caseId);
  const view = useMemo(() => fold(events), [events]);
  const { me } = useFirm();
  const failed = useFailure();
  const run = (what: Promise<void>) => void what.catch(failed('Nothing was published'));
  const parts = { view, caseId, opened, run };
  return (
    <div className="case" aria-busy={loading}>
      <Head view={view} caseId={caseId} run={run} />
      {error && <p className="bad" role="alert">This case cannot be shown: {error}.</p>}
      {!view.known && !loading && !error && (
        <div className="empty wide">
          <h2>Nothing has happened in this case yet</h2>
          <p>Open it, or publish an event for it from any service; it appears here at once.</p>
          <button type="button" className="primary" onClick={() => run(openCase(caseId, me.id))}>Open the case</button>
          <pre tabIndex={0} aria-label="Command"><code>lexiflow publish case {caseId} document:uploaded {'\'{"documentId":"d1","fileName":"brief.pdf"}\''}</code></pre>
        </div>
      )}
      <div className="sheets">
        <Documents {...parts} />
        <Docket {...parts} />
        <Tasks {...parts} />
        <Deadlines {...parts} />
      </div>
    </div>
  );
}

interface Parts {
  view: CaseView;
  caseId: string;
  opened: number;
  run: (what: Promise<void>) => void;
}

function Head({ view, caseId, run }: Omit<Parts, 'opened'>) {
  const { me } = useFirm();
  const done = view.tasks.filter(({ of }) => of.done).length;
  return (
    <header className="case-head">
      <div>
        <p className="soft">Case {view.number || caseId}{view.client && ` · for ${view.client}`}</p>
        <h1>{view.title || `Case ${caseId}`}</h1>
      </div>
      <dl>
        <div>
          <dt>Tasks done</dt>
          <dd>{done} of {view.tasks.length}</dd>
        </div>
        <div>
          <dt><label htmlFor="case-status">Status</label></dt>
          <dd>
            <select id="case-status" value={view.status || 'open'} onChange={(e) => run(changeStatus(caseId, view.status || 'open', e.target.value, me.id))}>
              {[...new Set([...statuses, view.status || 'open'])].map((status) => <option key={status}>{status}</option>)}
            </select>
          </dd>
        </div>
      </dl>
    </header>
  );
}

interface SheetProps {
  id: string;
  title: string;
  icon: ReactNode;
  count: number;
  add: string;
  onAdd: () => void;
  empty: string;
  children: ReactNode[];
}

const SHORT = 8; // lines of a sheet until somebody wants all

function Sheet({ id, title, icon, count, add, onAdd, empty, children }: SheetProps) {
  const [all, setAll] = useState(false);
  return (
    <section className="sheet" aria-labelledby={id}>
      <header>
        <h2 id={id}>{icon}{title} <span className="soft">{count}</span></h2>
        <button type="button" className="quiet" onClick={onAdd}><Plus aria-hidden />{add}</button>
      </header>
      {count === 0 ? <p className="empty">{empty}</p> : <ul aria-labelledby={id}>{all ? children : children.slice(0, SHORT)}</ul>}
      {count > SHORT && <button type="button" className="quiet more" onClick={() => setAll(!all)}>{all ? 'Show fewer' : `Show all ${count} in ${title.toLowerCase()}`}</button>}
    </section>
  );
}

const fresh = (sequence: number, opened: number) => (sequence > opened ? '' : undefined);

function Documents({ view, caseId, opened, run }: Parts) {
  const { all, me } = useFirm();
  return (
    <Sheet id="documents" title="Documents" icon={<FileText aria-hidden />} count={view.documents.length} add="Upload" onAdd={() => run(uploadDocument(caseId, me.id))}
      empty="No documents yet. Upload one, and everybody who has this case open sees it.">
      {view.documents.map(({ of, sequence }) => (
        <li key={of.documentId} data-new={fresh(sequence, opened)} data-sequence={sequence}>
          <p className="title">{of.fileName}</p>
          <p className="soft">
            {[of.fileSize > 0 && size(of.fileSize), of.uploadedBy && nameOf(all, of.uploadedBy)].filter(Boolean).map((part) => <span key={String(part)}>{part} · </span>)}
            <Ago at={of.uploadedAt ?? of.timestamp} />
          </p>
          {of.processed
            ? <span className="tag" data-tone={of.processed === 'failed' ? 'red' : 'green'}>{of.processed === 'failed' ? 'unreadable' : 'searchable'}</span>
            : <button type="button" className="quiet small" aria-label={`Read text of ${of.fileName}`} onClick={() => run(processDocument(caseId, of.documentId, of.fileName))}>Read text</button>}
        </li>
      ))}
    </Sheet>
  );
}

function Docket({ view, caseId, opened, run }: Parts) {
  const next = Math.max(0, ...view.docket.map(({ of }) => of.entryNumber ?? 0)) + 1;
  return (
    <Sheet id="docket" title="Docket" icon={<Gavel aria-hidden />} count={view.docket.length} add="File" onAdd={() => run(addDocketEntry(caseId, next))}
      empty="The court has filed nothing. Entries arrive here as it does.">
      {view.docket.map(({ of, sequence }) => (
        <li key={of.entryId} data-new={fresh(sequence, opened)} className="numbered">
          <span className="number">{of.entryNumber}</span>
          <p className="title">{of.description}</p>
          <p className="soft">filed {of.filedDate}{of.documentCount > 0 && ` · ${of.documentCount} document${of.documentCount === 1 ? '' : 's'}`}</p>
        </li>
      ))}
    </Sheet>
  );
}

function Tasks({ view, caseId, opened, run }: Parts) {
  const { all, me } = useFirm();
  return (
    <Sheet id="tasks" title="Tasks" icon={<ListChecks aria-hidden />} count={view.tasks.length} add="Add" onAdd={() => run(createTask(caseId, me.id))}
      empty="Nothing to do. Add a task, and tick it off when it is done.">
      {view.tasks.map(({ of, sequence }) => (
        <li key={of.taskId} data-new={fresh(sequence, opened)} data-done={of.done}>
          <label className="title">
            <input type="checkbox" checked={of.done} disabled={of.done} onChange={() => run(completeTask(caseId, of.taskId, of.title, me.id))} />
            {of.title}
          </label>
          <p className="soft">{of.assignedTo ? nameOf(all, of.assignedTo) : 'nobody yet'}{of.dueDate && ` · due ${day(of.dueDate)}`}</p>
          <span className="tag" data-tone={of.priority === 'urgent' ? 'red' : of.priority === 'high' ? 'brass' : undefined}>{of.priority}</span>
        </li>
      ))}
    </Sheet>
  );
}

function Deadlines({ view, caseId, opened, run }: Parts) {
  return (
    <Sheet id="deadlines" title="Deadlines" icon={<CalendarClock aria-hidden />} count={view.deadlines.length} add="Add" onAdd={() => run(deadlineNears(caseId, view.title))}
      empty="No deadline is near.">
      {view.deadlines.map(({ of, sequence }) => (
        <li key={of.deadlineId} data-new={fresh(sequence, opened)}>
          <p className="title">{of.description}</p>
          <p className="soft">{day(of.dueDate)}</p>
          <span className="tag" data-tone={of.missed || of.severity === 'urgent' ? 'red' : 'brass'}>{of.missed ? 'missed' : of.severity}</span>
        </li>
      ))}
    </Sheet>
  );
}

const day = (iso: string) => new Date(iso).toLocaleDateString(undefined, { weekday: 'short', day: 'numeric', month: 'short' });

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.max(Math.round(bytes / 1000), 1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
