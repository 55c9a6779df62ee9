import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { unfinishedPath } from '../../../src/store/local/unfinished-rollouts.ts';
import { openLocalStore } from '../../support/local-store.ts';
import { headerPayload, someThreadId, T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

it('WRITE-23 what a crash left half made is not shown, and goes before its folder is written to', async () => {
  const home = tempFolder();
  const store = await openLocalStore(home);
  onTestFinished(() => store.close());
  const threadId = someThreadId();
  const header = async (): Promise<ReturnType<typeof headerPayload>> => headerPayload(threadId, 'paginated');
  const params = { threadId, historyMode: 'paginated', cwd: '/work', createdAtMs: T0, header } as const;
  const path = (await store.createThread(params)).path ?? '';
  await store.discardThread(threadId);

  const crashed = path.replace(threadId, someThreadId());
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(unfinishedPath(crashed), JSON.stringify({ timestamp: '', type: 'session_meta', payload: {} }));
  writeFileSync(join(dirname(path), '.notes.new'), 'of someone else');
  const query = { sortKey: 'createdAt', direction: 'desc', limit: 9, isArchived: false } as const;
  const next = await openLocalStore(home);
  onTestFinished(() => next.close());
  expect((await next.listThreads(query)).data).toEqual([]);
  await next.createThread(params);
  await next.persistThread(threadId, 'process');
  expect(existsSync(unfinishedPath(crashed))).toBe(false);
  expect(readdirSync(dirname(path)).length).toBe(2);
});
