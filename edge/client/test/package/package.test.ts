// @vitest-environment node
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

test('tests, examples and sources have no type error', async () => {
  await run('node_modules/.bin/tsc', ['-p', 'test/tsconfig.json'], { cwd: folder }).catch((e: { stdout: string }) => expect(e.stdout).toBe(''));
});

test('what is packed is what the exports need, and the README', async () => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: folder });
  const files = (JSON.parse(stdout) as { files: { path: string }[] }[])[0]!.files.map(({ path }) => path);
  const exported = Object.values(JSON.parse(readFileSync(`${folder}package.json`, 'utf8')).exports as Record<string, string | Record<string, string>>);
  for (const target of exported.flatMap((e) => (typeof e === 'string' ? [e] : Object.values(e)))) expect(files).toContain(target.replace('./', ''));
  expect(files).toContain('README.md');
  expect(files.filter((path) => !/^(dist\/.*\.(js|d\.ts)|package\.json|README\.md)$/.test(path))).toEqual([]);
});

test('the core knows no React', async () => {
  const { metafile } = await bundle("export * from '@lexiflow/realtime'");
  const inputs = Object.keys(metafile.inputs);
  expect(inputs.some((path) => path.includes('dist/core/client.js'))).toBe(true);
  expect(inputs.filter((path) => /dist\/react|node_modules\/react/.test(path))).toEqual([]);
  const node = await run('node', ['--input-type=module', '-e', "const m = await import('@lexiflow/realtime'); console.log(typeof m.createRealtime, m.WS_EVENTS.CASE_CREATED)"], { cwd: folder });
  expect(node.stdout).toBe('function case:created\n');
});

test('every constant is named after its value, but for those that say so', async () => {
  const { WS_EVENTS, ErrorCode, NotificationType, PresenceStatus } = await import('@lexiflow/realtime');
  const others = Object.entries(WS_EVENTS).filter(([constant, name]) => constant !== name.toUpperCase().replaceAll(/[:-]/g, '_'));
  expect(others.map(([constant]) => constant)).toEqual([
    'CASE_SUBSCRIBE', 'CASE_UNSUBSCRIBE', 'DASHBOARD_REFRESH', 'ROOM_MESSAGE', 'SEND_ROOM_MESSAGE', 'ROOM_HISTORY', 'JOIN_ROOM_BY_NAME', 'LEAVE_ROOM_BY_NAME',
  ]);
  const types = readFileSync(`${folder}dist/generated/names.d.ts`, 'utf8'); // what the compiler made of the same list
  for (const [constant, name] of Object.entries(WS_EVENTS)) expect(types).toMatch(new RegExp(`\\b${constant}: "${name}";`));
  const known: 'docket:entry:added' = WS_EVENTS.DOCKET_ENTRY_ADDED;
  expect([known, ErrorCode.NOT_FOUND, NotificationType.CASE_UPDATE]).toEqual(['docket:entry:added', 'NOT_FOUND', 'case_update']);
  expect(PresenceStatus).toEqual({ ONLINE: 'online', AWAY: 'away', BUSY: 'busy', OFFLINE: 'offline' });
});

// What a page pays for that uses all of it. The names of all events and the enums are constants, and cost
// only whom they are used by.
const hooks = `export {
  createRealtime, RealtimeError, ConnectionStatus, PresenceStatus, RealtimeProvider, useRealtime, useWebSocket, useWebSocketEvent, useRealTimeData,
  useNotifications, useDashboard, useMessages, useTypingIndicator, usePresence, useUserPresence, useMultiUserPresence, getPresenceStatusDisplay, formatLastSeen,
} from '@lexiflow/realtime/react'`;

test('core and hooks with socket.io-client stay below 25,000 bytes, minified and gzipped', async () => {
  const sizes: Record<string, number> = {};
  for (const [name, source] of Object.entries({
    'core and all hooks': hooks,
    'the same, all names and enums': "export * from '@lexiflow/realtime/react'",
    'core alone': "export { createRealtime } from '@lexiflow/realtime'",
    'socket.io-client alone': "export { Manager } from 'socket.io-client'",
  })) sizes[name] = (await bundle(source)).size;
  console.log('minified and gzipped, in bytes:', sizes);
  expect(sizes['core and all hooks']).toBeLessThanOrEqual(25_000);
  const all = await import('@lexiflow/realtime/react');
  const functions = Object.keys(all).filter((name) => /^use|^create|Provider$/.test(name));
  expect(functions.filter((name) => !hooks.includes(name)), 'not measured').toEqual([]);
});

async function bundle(source: string) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: source, resolveDir: folder }, bundle: true, minify: true, format: 'esm', platform: 'browser', write: false, metafile: true,
    external: ['react'], logLevel: 'silent',
  });
  return { size: gzipSync(outputFiles[0]!.contents, { level: 9 }).length, metafile };
}
