import type { ReactNode } from 'react';
import { expect, test } from 'vitest';
import * as caseExample from '../.examples/case.js';
import * as connection from '../.examples/connection.js';
import * as conversation from '../.examples/conversation.js';
import * as core from '../.examples/core.js';
import * as dashboard from '../.examples/dashboard.js';
import * as notifications from '../.examples/notifications.js';
import * as presence from '../.examples/presence.js';
import * as provider from '../.examples/provider.js';
import { client, eventually, pause, serverUrl, someone, theBus, tokenOf } from '../lib/page.js';
import { render } from '../lib/render.js';

// Shows an example to a user, and waits for texts.
function show(node: ReactNode, options: Parameters<typeof client>[0] = {}) {
  const { container } = render(node, client(options));
  return {
    container,
    says: (text: string | RegExp) => eventually(() => (typeof text === 'string' ? container.textContent!.includes(text) : text.test(container.textContent!)),
      () => `${text} is shown; it is ${container.innerHTML}`),
    press: (selector: string) => (container.querySelector(selector) as HTMLElement).click(),
  };
}

test('provider', () => {
  const { container } = render(<provider.App>inside</provider.App>);
  expect(container.textContent).toBe('inside');
});

test('case', async () => {
  const caseId = someone('case');
  const page = show(<caseExample.LatestDocument caseId={caseId} />);
  await page.says('Nothing yet');
  const probe = client();
  await probe.command('subscribe:case', { caseId });
  await eventually(async () => {
    await (await theBus()).log(`lex.case.${caseId}.document.uploaded`, { documentId: 'd1', fileName: 'brief.pdf' });
    return page.container.textContent === 'brief.pdf';
  }, 'the document');
  const refused = show(<caseExample.LatestDocument caseId={caseId} />, { scope: '' });
  await refused.says('no access');
});

test('notifications', async () => {
  const user = someone();
  const page = show(<notifications.Bell />, { user });
  await (await theBus()).log(`notify.user.${user}`, { type: 'case_update', title: 'Hearing moved', message: 'm', priority: 'high' });
  await page.says('Hearing moved');
  const label = () => page.container.querySelector('section')!.getAttribute('aria-label');
  await eventually(() => label() === 'Notifications, 1 unread', 'one unread');
  page.press('li');
  await eventually(() => label() === 'Notifications, 0 unread', 'none unread');
  page.press('button');
  await pause(100);
});

test('conversation', async () => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const other = client({ user: bob });
  const { conversationId } = await client({ user: ann }).command('conversation:create', { memberIds: [bob] });
  const page = show(<conversation.Conversation conversationId={conversationId} />, { user: ann });
  await other.command('message:send', { conversationId, content: 'Good morning' });
  await page.says('Good morning');
  await other.command('typing:start', { conversationId });
  await page.says(bob);
  const input = page.container.querySelector('input')!;
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')!.set!.call(input, 'And to you');
  input.dispatchEvent(new Event('input', { bubbles: true }));
  page.container.querySelector('form')!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
  await page.says('And to you (sent)');
  await pause(100); // its receipts
});

test('presence', async () => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const page = show(<><presence.Team userIds={[bob]} /><presence.LastSeen userId={bob} /></>, { user: ann });
  await page.says(/0 online.*Offline.*ago|0 online.*Offline.*Just now/);
  client({ user: bob }).channel('/events').retain();
  await page.says(/1 online.*Online.*here now/);
  page.press('button');
  await eventually(() => page.container.querySelector('button')!.textContent === 'Busy', 'busy');
});

test('dashboard', async () => {
  const page = show(<dashboard.Figures />, { scope: 'case:* dashboard:firm' });
  await page.says(/\d active cases/);
  page.press('button');
  await pause(100);
});

test('connection', async () => {
  const page = show(<connection.Connection />);
  await page.says('connected');
  await (await theBus()).log('lex.all.all.system.alert', { id: 'a', type: 'feature', severity: 'info', title: 'New today', message: 'm' });
  await page.says('New today');
  page.press('button');
  await pause(100);
});

test('core', async () => {
  const caseId = someone('case');
  const user = someone();
  const found: string[] = [];
  const stop = await core.watch(serverUrl(), async () => tokenOf(user), caseId, (name) => found.push(name));
  await eventually(async () => {
    await (await theBus()).log(`lex.case.${caseId}.document.uploaded`, { documentId: 'd1', fileName: 'brief.pdf' });
    return found.includes('brief.pdf');
  }, 'the document');
  stop();
});
