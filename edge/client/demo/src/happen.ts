// Makes things happen as microservices would: a page cannot publish to NATS, so `lexiflow up` does it for
// the demo, on its own machine alone.

import { HOME } from './route';

const pick = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)]!;
const idOf = (kind: string): string => `${kind}-${crypto.randomUUID().slice(0, 8)}`;
const at = (days = 0): string => new Date(Date.now() + days * 86_400_000).toISOString();

async function post(path: string, body: object): Promise<void> {
  const answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  if (answer.ok) return;
  const refusal = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new Error(refusal.error ?? `the server answered ${answer.status}`);
}

const publish = (caseId: string, event: string, payload: object): Promise<void> => (
  post('/demo/events', { kind: 'case', id: caseId, event, payload: { caseId, ...payload } })
);

export const openCase = (caseId: string, by: string): Promise<void> => publish(caseId, 'case:created', {
  caseNumber: caseId === HOME ? '2026-0417' : caseId, title: caseId === HOME ? 'Harlow v. Northgate Logistics' : pick(['Osborne Estate', 'In re Calder Mills', 'Whitfield v. Dane']),
  clientId: 'client-1', clientName: pick(['Harlow & Sons', 'Maren Harlow', 'Northgate Ltd']), createdBy: by, createdAt: at(),
});

export const uploadDocument = (caseId: string, by: string): Promise<void> => publish(caseId, 'document:uploaded', {
  documentId: idOf('doc'), fileName: pick(['Motion to dismiss.pdf', 'Witness statement.docx', 'Exhibit C, invoices.xlsx', 'Reply brief.pdf', 'Deposition transcript.pdf']),
  fileSize: 40_000 + Math.floor(Math.random() * 4_000_000), mimeType: 'application/pdf', uploadedBy: by, uploadedAt: at(),
});

export const processDocument = (caseId: string, documentId: string, fileName: string): Promise<void> => (
  publish(caseId, 'document:processed', { documentId, fileName, status: 'success' })
);

export const addDocketEntry = (caseId: string, entryNumber: number): Promise<void> => publish(caseId, 'docket:entry:added', {
  entryId: idOf('entry'), entryNumber, filedDate: at().slice(0, 10), documentCount: 1 + Math.floor(Math.random() * 3), addedAt: at(),
  description: pick(['Order setting hearing', 'Notice of appearance', 'Response in opposition', 'Minute entry', 'Stipulation of the parties']),
});

export const createTask = (caseId: string, by: string): Promise<void> => publish(caseId, 'task:created', {
  taskId: idOf('task'), title: pick(['Review the exhibits', 'Draft the reply', 'Call the expert', 'Prepare the witness list', 'Check the citations']),
  priority: pick(['low', 'medium', 'high', 'urgent']), assignedTo: by, dueDate: at(3), createdBy: by, createdAt: at(),
});

export const completeTask = (caseId: string, taskId: string, title: string, by: string): Promise<void> => (
  publish(caseId, 'task:completed', { taskId, title, completedBy: by, completedAt: at() })
);

export const deadlineNears = (caseId: string, caseName: string): Promise<void> => {
  const days = 1 + Math.floor(Math.random() * 5);
  return publish(caseId, 'deadline:approaching', {
    deadlineId: idOf('deadline'), caseName: caseName || caseId, dueDate: at(days), timeRemaining: days * 86_400_000,
    description: pick(['Answer to the complaint', 'Disclosure of experts', 'Motion cut-off', 'Reply brief']), severity: days < 3 ? 'urgent' : 'warning',
  });
};

export const changeStatus = (caseId: string, oldStatus: string, newStatus: string, by: string): Promise<void> => (
  publish(caseId, 'case:status:changed', { caseNumber: caseId, oldStatus, newStatus, changedBy: by, changedAt: at() })
);

export const systemAlert = (): Promise<void> => post('/demo/events', {
  kind: 'all', id: 'all', event: 'system:alert',
  payload: { id: idOf('alert'), type: 'maintenance', severity: 'warning', title: 'E-filing is slow', message: 'The court’s portal takes longer than usual to answer.' },
});

export const notify = (userId: string, from: string): Promise<void> => post('/demo/notices', {
  userId, type: pick(['task_assigned', 'approval_required', 'comment_added']), priority: pick(['medium', 'high']),
  title: pick(['Please review the reply brief', 'Your signature is needed', 'A comment on Exhibit C', 'The hearing was moved']),
  message: `From ${from}, ${new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`,
});
