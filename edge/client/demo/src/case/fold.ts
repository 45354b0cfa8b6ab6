// What a case looks like after its events: pure, and the same whether they were read or arrived.

import type {
  CaseCreatedEvent, CaseStatusChangedEvent, DeadlineApproachingEvent, DocketEntryAddedEvent, DocumentProcessedEvent, DocumentUploadedEvent,
  TaskCompletedEvent, TaskCreatedEvent,
} from '@lexiflow/realtime';

export interface CaseEvent {
  /** Its place in the log. */
  readonly sequence: number;
  readonly event: string;
  readonly payload: Record<string, unknown>;
}

/** Something, and the event that said it last. */
export interface Placed<T> {
  readonly of: T;
  readonly sequence: number;
}

export interface CaseView {
  readonly number: string;
  readonly title: string;
  readonly client: string;
  readonly status: string;
  readonly known: boolean;
  readonly documents: readonly Placed<DocumentUploadedEvent & { processed?: DocumentProcessedEvent['status'] }>[];
  readonly docket: readonly Placed<DocketEntryAddedEvent>[];
  readonly tasks: readonly Placed<TaskCreatedEvent & { done: boolean }>[];
  readonly deadlines: readonly Placed<DeadlineApproachingEvent & { missed: boolean }>[];
}

/** Puts events at their places, each once. */
export function insert(events: readonly CaseEvent[], more: readonly CaseEvent[]): readonly CaseEvent[] {
  const known = new Set(events.map(({ sequence }) => sequence));
  const fresh = more.filter(({ sequence }) => !known.has(sequence));
  return fresh.length === 0 ? events : [...events, ...fresh].sort((a, b) => a.sequence - b.sequence);
}

/** Folds a case, newest things first. */
export function fold(events: readonly CaseEvent[]): CaseView {
  let head = { number: '', title: '', client: '', status: '' };
  const documents = new Map<string, CaseView['documents'][number]>();
  const docket = new Map<string, CaseView['docket'][number]>();
  const tasks = new Map<string, CaseView['tasks'][number]>();
  const deadlines = new Map<string, CaseView['deadlines'][number]>();
  for (const { event, payload, sequence } of events) {
    switch (event) {
      case 'case:created': {
        const { caseNumber, title, clientName, clientId } = payload as CaseCreatedEvent;
        head = { number: caseNumber ?? '', title: title ?? '', client: clientName ?? clientId ?? '', status: head.status || 'open' };
        break;
      }
      case 'case:status:changed':
        head = { ...head, status: (payload as CaseStatusChangedEvent).newStatus ?? '' };
        break;
      case 'document:uploaded': {
        const of = payload as DocumentUploadedEvent;
        documents.set(of.documentId, { of, sequence });
        break;
      }
      case 'document:processed': {
        const { documentId, status } = payload as DocumentProcessedEvent;
        const before = documents.get(documentId);
        if (before) documents.set(documentId, { of: { ...before.of, processed: status }, sequence });
        break;
      }
      case 'docket:entry:added': {
        const of = payload as DocketEntryAddedEvent;
        docket.set(of.entryId, { of, sequence });
        break;
      }
      case 'task:created': {
        const of = payload as TaskCreatedEvent;
        tasks.set(of.taskId, { of: { ...of, done: false }, sequence });
        break;
      }
      case 'task:completed': {
        const { taskId } = payload as TaskCompletedEvent;
        const before = tasks.get(taskId);
        if (before) tasks.set(taskId, { of: { ...before.of, done: true }, sequence });
        break;
      }
      case 'deadline:approaching':
      case 'deadline:missed': {
        const of = payload as DeadlineApproachingEvent;
        deadlines.set(of.deadlineId, { of: { ...of, missed: event === 'deadline:missed' }, sequence });
        break;
      }
    }
  }
  const newest = <T>(all: Map<string, Placed<T>>) => [...all.values()].reverse();
  return {
    ...head, known: events.length > 0, documents: newest(documents), docket: newest(docket), tasks: newest(tasks),
    deadlines: [...deadlines.values()].sort((a, b) => (a.of.dueDate < b.of.dueDate ? -1 : 1)),
  };
}
