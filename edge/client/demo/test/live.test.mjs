// What happens shows, in every window that may know.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { bell, live, look, open } from './lib/browser.mjs';
import { CASE, notice, start, task, upload } from './lib/demo.mjs';

test('the demo is live', async (t) => {
  const server = await start(t);
  const browser = await open(t);
  const window = (t2, options) => look(t2, browser, server.url, options);

  await t.test('an event published on NATS appears on the page, and is there after a reload', async (t) => {
    const page = await live(await window(t));
    await page.getByRole('heading', { name: 'Nothing has happened in this case yet' }).waitFor();
    await upload(server.bus, 'Reply brief.pdf');
    const documents = page.getByRole('list', { name: /^Documents/ });
    await documents.getByText('Reply brief.pdf').waitFor();
    await server.bus.log(`lex.case.other.document.uploaded`, { documentId: 'x', fileName: 'Of another case.pdf' });
    await server.bus.log(`lex.case.${CASE}.docket.entry.added`, { entryId: 'e1', entryNumber: 7, description: 'Order setting hearing', filedDate: '2026-11-28', documentCount: 1 });
    await page.getByRole('list', { name: /^Docket/ }).getByText('Order setting hearing').waitFor();
    await page.reload();
    await documents.getByText('Reply brief.pdf').waitFor();
    assert.equal(await documents.getByRole('listitem').count(), 1);
  });

  await t.test('what one person does shows to the other', async (t) => {
    const [ann, ben] = [await live(await window(t)), await live(await window(t, { user: 'ben' }))];
    await ann.getByRole('button', { name: 'Make something happen' }).click();
    await ann.getByRole('button', { name: 'Upload a document' }).click();
    await ann.getByText('Upload a document: published').waitFor();
    await ann.keyboard.press('Escape');
    const documents = ben.getByRole('list', { name: /^Documents/ }).getByRole('listitem');
    await documents.nth(1).waitFor();
    await ben.getByLabel('Status', { exact: true }).selectOption('hearing');
    await ann.waitForFunction(() => document.querySelector('#case-status').value === 'hearing');
  });

  await t.test('a notification read in one window is read in the other', async (t) => {
    const [one, two] = [await live(await window(t)), await live(await window(t))];
    await notice(server.bus, 'ann', 'Sign the engagement letter');
    await notice(server.bus, 'ann', 'Call the expert');
    await Promise.all([bell(one, 2).waitFor(), bell(two, 2).waitFor()]);
    await bell(one, 2).click();
    await one.getByRole('button', { name: 'Mark read: Call the expert' }).click();
    await Promise.all([bell(one, 1).waitFor(), bell(two, 1).waitFor()]);
    await bell(two, 1).click();
    await two.getByRole('button', { name: 'Mark unread: Call the expert' }).waitFor();
    await two.getByRole('button', { name: 'Mark all read' }).click();
    await Promise.all([bell(one, 0).waitFor(), bell(two, 0).waitFor()]);
    await two.getByRole('button', { name: 'Delete: Call the expert' }).click();
    await one.getByText('Call the expert').waitFor({ state: 'detached' });
    assert.equal(await one.getByText('Sign the engagement letter').count(), 1);
  });

  await t.test('the bell works without a pointer', async (t) => {
    const page = await live(await window(t, { user: 'cleo' }));
    await notice(server.bus, 'cleo', 'File the exhibits');
    await bell(page, 1).waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '');
    const tabTo = async (label) => {
      for (let i = 0; i < 40; i++) {
        await page.keyboard.press('Tab');
        if ((await focused()).startsWith(label)) return;
      }
      assert.fail(`no way to ${label} by Tab; it ended at ${await focused()}`);
    };
    await tabTo('Notifications, 1 unread');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Notifications' }).waitFor();
    await tabTo('Mark read: File the exhibits');
    await page.keyboard.press('Space');
    await bell(page, 0).waitFor();
    await tabTo('Delete: File the exhibits');
    await page.keyboard.press('Enter');
    await page.getByText('You are up to date.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await focused(), 'Notifications, 0 unread');
  });

  await t.test('presence of the other window', async (t) => {
    const ann = await live(await window(t));
    const cleo = ann.locator('[data-person="cleo"]');
    await ann.locator('[data-person="cleo"][data-status="offline"]').waitFor();
    const other = await live(await window(t, { user: 'cleo' }));
    await ann.locator('[data-person="cleo"][data-status="online"]').waitFor();
    await other.getByRole('button', { name: /your status$/ }).click();
    await other.getByRole('radio', { name: 'Busy' }).check();
    await ann.locator('[data-person="cleo"][data-status="busy"]').waitFor();
    await other.getByLabel('What you are doing').fill('In court until noon');
    await other.getByRole('button', { name: 'Say' }).click();
    await cleo.getByText('Busy · In court until noon').waitFor();
    await other.close();
    await ann.locator('[data-person="cleo"][data-status="offline"]').waitFor();
  });

  await t.test('a conversation: typing, receipts, editing, deleting', async (t) => {
    const [ann, ben] = [await live(await window(t, { path: '/messages' })), await live(await window(t, { user: 'ben', path: '/messages' }))];
    await ann.getByRole('button', { name: 'Start a conversation' }).click();
    await ann.getByLabel('Subject').fill('Witness list');
    await ann.getByRole('button', { name: 'Start', exact: true }).click();
    await ann.getByRole('heading', { name: 'Witness list' }).waitFor();
    await ben.getByRole('button', { name: /^Witness list/ }).click();
    await ben.getByText('Nobody has said anything yet').waitFor();

    await ann.getByLabel('Message', { exact: true }).pressSequentially('Is the list');
    await ben.getByText('Ann Keller is typing').waitFor();
    await ben.getByText('Ann Keller is typing').waitFor({ state: 'detached' }); // she has stopped, and said nothing
    await ann.getByLabel('Message', { exact: true }).press('End');
    await ann.getByLabel('Message', { exact: true }).pressSequentially(' ready?');
    await ann.keyboard.press('Enter');
    const said = ben.getByRole('log', { name: 'Messages' });
    await said.getByText('Is the list ready?').waitFor();
    await ann.locator('[data-receipt="read"]').waitFor();

    await ann.getByRole('button', { name: 'Edit: Is the list ready?' }).click();
    await ann.getByLabel('Change the message').fill('Is the witness list ready?');
    await ann.keyboard.press('Enter');
    await said.getByText('Is the witness list ready?').waitFor();
    await said.getByText('edited').waitFor();
    await ann.getByRole('button', { name: /^Delete:/ }).click();
    await said.getByText('This message was deleted.').waitFor();

    await ben.reload();
    await ben.getByRole('button', { name: /^Witness list/ }).click();
    await said.getByText('This message was deleted.').waitFor();
  });

  await t.test('the dashboard counts while one looks', async (t) => {
    const page = await live(await window(t, { path: '/dashboard' }));
    const pending = page.locator('.figures > div', { hasText: 'Pending tasks' }).locator('dd');
    await pending.getByText(/^\d+$/).waitFor();
    const before = Number(await pending.textContent());
    await task(server.bus, 'count-1', 'Draft the reply');
    await task(server.bus, 'count-2', 'Check the citations');
    await pending.getByText(String(before + 2), { exact: true }).waitFor();
    await page.getByRole('region', { name: 'Activity', exact: true }).getByText(/Draft the reply/).first().waitFor();
    await server.bus.log('lex.all.all.system.alert', { id: 'a1', type: 'maintenance', severity: 'critical', title: 'E-filing is down', message: 'The court’s portal does not answer.' });
    await page.getByRole('region', { name: 'Alerts' }).getByText('E-filing is down').waitFor();
    await page.getByRole('img', { name: /^Work by case. .*open tasks/ }).waitFor();
  });
});
