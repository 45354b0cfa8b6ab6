// The program that serves the demo, and what a firm's services publish.

import assert from 'node:assert/strict';
import { Bus } from '../../../../e2e/lib/bus.mjs';
import { up } from '../../../../e2e/lib/program.mjs';

export const CASE = '123';

// start runs everything in one process, as a new user does. It must have the built demo in it.
export async function start(t) {
  const server = await up(['--services', 'all', '--push-interval', '100ms', '--presence-grace', '1s', '--digest-window', '500ms', '--drain-timeout', '200ms']);
  t.after(() => server.stop());
  await built(server.url);
  server.bus = await bus(t, server.natsUrl);
  return server;
}

export async function bus(t, natsUrl) {
  const made = await Bus.connect(natsUrl);
  t.after(() => made.close());
  return made;
}

async function built(url) {
  const html = await (await fetch(url)).text();
  assert.match(html, /id="root"/, 'the program has no demo in it: "make demo" builds it, then build the program');
}

const now = () => new Date().toISOString();
const soon = (days) => new Date(Date.now() + days * 86_400_000).toISOString();

export const upload = (to, fileName, { id = CASE, documentId = fileName, uploadedBy = 'ben' } = {}) => to.log(`lex.case.${id}.document.uploaded`, {
  documentId, fileName, fileSize: 482_133, mimeType: 'application/pdf', uploadedBy, uploadedAt: now(),
});

export const task = (to, taskId, title, priority = 'high') => to.log(`lex.case.${CASE}.task.created`, {
  taskId, title, priority, assignedTo: 'ben', dueDate: soon(2), createdBy: 'ann', createdAt: now(), caseId: CASE,
});

export const notice = (to, user, title, more = {}) => to.log(`notify.user.${user}`, {
  type: 'task_assigned', title, message: 'From Ben Osei', priority: 'high', ...more,
});

export const alert = (to) => to.log('lex.all.all.system.alert', {
  id: 'a1', type: 'maintenance', severity: 'warning', title: 'E-filing is slow', message: 'The court’s portal takes longer than usual to answer.',
});

// fill makes the firm look like a working day.
export async function fill(to) {
  const on = (event, payload) => to.log(`lex.case.${CASE}.${event}`, { caseId: CASE, ...payload });
  await on('case.created', { caseNumber: '2026-0417', title: 'Harlow v. Northgate Logistics', clientId: 'c1', clientName: 'Harlow & Sons', createdBy: 'ann', createdAt: now() });
  await on('case.status.changed', { caseNumber: CASE, oldStatus: 'open', newStatus: 'discovery', changedBy: 'ann', changedAt: now() });
  for (const name of ['Complaint.pdf', 'Motion to dismiss.pdf', 'Witness statement, M. Harlow.docx', 'Exhibit C, invoices 2024 to 2026.xlsx']) await upload(to, name);
  await on('document.processed', { documentId: 'Complaint.pdf', fileName: 'Complaint.pdf', status: 'success' });
  for (const [i, description] of ['Complaint filed', 'Notice of appearance', 'Order setting hearing for 14 December'].entries()) {
    await on('docket.entry.added', { entryId: `e${i}`, entryNumber: i + 1, description, filedDate: '2026-11-2'.concat(i), documentCount: i + 1, addedAt: now() });
  }
  await task(to, 't1', 'Draft the reply brief', 'urgent');
  await task(to, 't2', 'Prepare the witness list');
  await task(to, 't3', 'Check the citations', 'low');
  await on('task.completed', { taskId: 't3', title: 'Check the citations', completedBy: 'ben', completedAt: now() });
  await on('deadline.approaching', { deadlineId: 'd1', caseName: 'Harlow v. Northgate', description: 'Disclosure of experts', dueDate: soon(2), timeRemaining: 2 * 86_400_000, severity: 'urgent' });
  await on('deadline.approaching', { deadlineId: 'd2', caseName: 'Harlow v. Northgate', description: 'Motion cut-off', dueDate: soon(6), timeRemaining: 6 * 86_400_000, severity: 'warning' });
}
