import { describe, expect, it } from 'vitest';
import { internal } from '../../src/domain/errors.ts';
import type { ThreadSettings } from '../../src/domain/thread-settings.ts';
import type { ModelRequest, Summary } from '../../src/engine/model-client.ts';
import type { CodexThread } from '../../src/runtime/codex-thread.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { interceptedStore } from '../support/intercepted-store.ts';
import { usage } from '../support/model-double.ts';
import { accepted, kindsOf, message, openRuntime, refusal, STORES, type Runtime } from '../support/runtime.ts';

const memory = (): MemoryThreadStore => new MemoryThreadStore({ defaultModelProvider: 'default-provider' });

const change = (thread: CodexThread, overrides: Partial<ThreadSettings>): Promise<void> =>
  thread.updateSettings(overrides, () => {});

const compact = (thread: CodexThread): Promise<void> => thread.compact(() => {}, 'test');

const settingsRecords = async (runtime: Runtime, thread: CodexThread): Promise<readonly unknown[]> =>
  (await runtime.records(thread.id)).flatMap(({ payload }) =>
    payload['type'] === 'thread_settings_applied' ? [(payload['thread_settings'] as { model: string }).model] : [],
  );

describe.each(STORES)('changing how a thread is run, over the %s', (_name, open) => {
  it('SET-1 a change is answered, recorded and told; what changes nothing is only answered', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.talked(['hello']);
    const [from, order] = [runtime.heard.length, new Array<string>()];
    runtime.manager.onEvent((_id, { type }) => order.push(type));
    await thread.updateSettings({ model: 'model-2', reasoningEffort: 'high' }, () => order.push('answered'));
    expect(await settingsRecords(runtime, thread)).toEqual(['model-1', 'model-2']);
    await thread.updateSettings({ model: 'model-2' }, () => order.push('answered'));
    expect(order).toEqual(['answered', 'settingsChanged', 'answered']);
    expect(runtime.told(thread.id, from)).toEqual(['settingsChanged']);
    expect(await settingsRecords(runtime, thread)).toEqual(['model-1', 'model-2']);
    // The next turn has nothing new to record.
    await runtime.turn(thread, 'and on');
    expect(await settingsRecords(runtime, thread)).toEqual(['model-1', 'model-2']);
  });

  it('SET-3 a resume after unloading has the change, without a turn in between', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.talked(['hello']);
    await change(thread, { model: 'model-2', approvalPolicy: 'never', cwd: '/elsewhere' });
    const changed = thread.settings;
    await thread.shutdown('test');
    const resumed = await runtime.manager.resumeThread({ threadId: thread.id, overrides: {} });
    expect(resumed.settings).toEqual(changed);
  });

  it('COMPACT-1 is a turn of one item; what people are shown of earlier turns stays', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.talked(['hello'], {});
    const from = runtime.heard.length;
    await compact(thread);
    await runtime.whenIdle(thread);
    expect(runtime.told(thread.id, from)).toEqual([
      'status active',
      'turnStarted',
      'itemStarted contextCompaction',
      'warning',
      'itemCompleted contextCompaction',
      'status idle',
      'turnCompleted completed',
    ]);
    const { data } = await runtime.store.listTurns({
      threadId: thread.id,
      limit: 10,
      direction: 'asc',
      itemsView: 'full',
    });
    expect(data.map(({ items }) => items.map(({ type }) => type))).toEqual([
      ['userMessage', 'agentMessage'],
      ['contextCompaction'],
    ]);
  });
});

it('COMPACT-1 legacy history has the item, too', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.talked(['hello'], { historyMode: 'legacy' });
  await compact(thread);
  await runtime.whenIdle(thread);
  expect(kindsOf(await runtime.records(thread.id)).slice(-3)).toEqual([
    'task_started',
    'context_compacted',
    'task_complete',
  ]);
});

it('SET-2 a thread that is not stored stays so, and records the change with its first turn', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.start();
  await change(thread, { model: 'model-2' });
  await change(thread, { model: 'model-3' });
  expect(thread.isStored).toBe(false);
  await runtime.turn(thread, 'hello');
  expect(await settingsRecords(runtime, thread)).toEqual(['model-3']);
});

it('SET-2 so it does if the first turn is a command or a compaction', async () => {
  const runtime = openRuntime(memory());
  const ofCommand = { command: 'true', timeoutMs: 60_000, isAllowed: false };
  for (const begin of [compact, (thread: CodexThread) => thread.runCommand(ofCommand, () => {}, 'test')]) {
    const thread = await runtime.start();
    await change(thread, { model: 'model-2' });
    await begin(thread);
    await runtime.whenIdle(thread);
    expect(await settingsRecords(runtime, thread)).toEqual(['model-2']);
    await thread.shutdown('test');
    const resumed = await runtime.manager.resumeThread({ threadId: thread.id, overrides: {} });
    expect(resumed.settings.model).toBe('model-2');
  }
});

it('SET-2 an ephemeral thread records nothing, and is run by the change', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.start({ isEphemeral: true });
  await change(thread, { model: 'model-2' });
  await accepted(thread, 'hello');
  const call = await runtime.model.call();
  expect(call.request.settings.model).toBe('model-2');
  call.answer('re: hello');
  await runtime.whenIdle(thread);
});

it('SET-3 the turn that runs goes on as it began, and the next one has the change', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.start();
  const { turn } = await accepted(thread, 'hello');
  const first = await runtime.model.call();
  await change(thread, { model: 'model-2' });
  await thread.steer(turn.id, message('more'), () => {});
  first.answer('re: hello');
  const second = await runtime.model.call();
  expect([first, second].map(({ request }) => request.settings.model)).toEqual(['model-1', 'model-1']);
  second.answer('re: more');
  await runtime.whenIdle(thread);
  await accepted(thread, 'next');
  const third = await runtime.model.call();
  expect(third.request.settings.model).toBe('model-2');
  third.answer('re: next');
  await runtime.whenIdle(thread);
  expect((await settingsRecords(runtime, thread)).at(-1)).toBe('model-2');
});

it('SET-3 of a turn and a change that come together the last one counts, whichever was recorded first', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.talked(['hello']);
  const both = [
    change(thread, { model: 'model-2' }),
    accepted(thread, 'with it'),
    change(thread, { model: 'model-3' }),
  ];
  await Promise.all(both);
  const call = await runtime.model.call();
  expect(call.request.settings.model).toBe('model-2');
  call.answer('re');
  await runtime.whenIdle(thread);
  expect((await settingsRecords(runtime, thread)).at(-1)).toBe('model-3');
  expect(thread.settings.model).toBe('model-3');
});

it('SET-4 a change that cannot be recorded is refused, and nothing has changed', async () => {
  let isBroken = false;
  const store = interceptedStore(memory(), (method) => {
    if (isBroken && method === 'appendItems') throw internal('the disk is gone');
  });
  const runtime = openRuntime(store);
  const thread = await runtime.talked(['hello']);
  const from = runtime.heard.length;
  isBroken = true;
  await expect(change(thread, { model: 'model-2' })).rejects.toThrow(refusal('internal', 'the disk is gone'));
  isBroken = false;
  expect(thread.settings.model).toBe('model-1');
  expect(runtime.told(thread.id, from)).not.toContain('settingsChanged');
});

/** Lets the model of a runtime summarise. */
function summarising(
  runtime: Runtime,
  summarise: (request: ModelRequest, signal: AbortSignal) => Promise<Summary>,
): void {
  Object.assign(runtime.model, { compact: summarise });
}

it('COMPACT-2 without a model that summarises the history stays, and watchers are told so', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.talked(['hello']);
  const before = await runtime.words(thread.id);
  await compact(thread);
  await runtime.whenIdle(thread);
  expect(await runtime.words(thread.id)).toEqual(before);
  expect(kindsOf(await runtime.records(thread.id))).not.toContain('compacted');
  const warnings = runtime.heard.flatMap(({ event }) => (event.type === 'warning' ? [event.message] : []));
  expect(warnings).toEqual(['Nothing was compacted: the model double cannot summarise. The history stays as it is.']);
});

it('COMPACT-3 a summary is recorded before the item that shows it, and its tokens count', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.talked(['hello']);
  const before = thread.tokens.totalTokens;
  const seen: string[] = [];
  summarising(runtime, async (request) => {
    expect(request.messages).toEqual([]);
    for await (const { item } of request.history()) seen.push(item.type);
    return { text: 'they said hello', usage: usage(7, 3) };
  });
  await compact(thread);
  await runtime.whenIdle(thread);
  expect(seen).toContain('response_item');
  expect(thread.tokens.totalTokens).toBe(before + 10);
  const records = await runtime.records(thread.id);
  expect(kindsOf(records).slice(-5)).toEqual([
    'task_started',
    'token_count',
    'compacted',
    'ContextCompaction',
    'task_complete',
  ]);
  const compacted = records.find(({ type }) => type === 'compacted');
  expect(JSON.stringify(compacted)).toContain('they said hello');
  expect(runtime.told(thread.id)).not.toContain('warning');
});

it('COMPACT-4 a turn that runs is interrupted first, and ends as replaced', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.start();
  await accepted(thread, 'hello');
  await runtime.model.call();
  const from = runtime.heard.length;
  await compact(thread);
  await runtime.whenTold(thread.id, 'turnCompleted completed');
  expect(runtime.told(thread.id, from).filter((one) => /turn|status/.test(one))).toEqual([
    'status idle',
    'turnCompleted interrupted',
    'status active',
    'turnStarted',
    'status idle',
    'turnCompleted completed',
  ]);
  const aborted = (await runtime.records(thread.id)).find(({ payload }) => payload['type'] === 'turn_aborted');
  expect(aborted?.payload).toMatchObject({ reason: 'replaced' });
});

it('COMPACT-5 takes no words: steering is refused, and input begins the next turn', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.talked(['hello']);
  let finish: (summary: Summary) => void = () => {};
  summarising(runtime, () => new Promise((resolve) => (finish = resolve)));
  await compact(thread);
  const turnId = thread.activeTurnId ?? '';
  await expect(thread.steer(turnId, message('more'), () => {})).rejects.toThrow('cannot steer a compact turn');
  const next = accepted(thread, 'next');
  finish({ text: 'summary', usage: usage(1, 1) });
  expect((await next).turn.id).not.toBe(turnId);
  (await runtime.model.call()).answer('re: next');
  await runtime.whenIdle(thread);
  expect(runtime.told(thread.id).filter((one) => one === 'turnCompleted completed')).toHaveLength(3);
});

it.each([
  ['an interrupt', 'turnCompleted interrupted'],
  ['a failure of the model', 'turnCompleted failed'],
])('COMPACT-6 after %s models read what they read before', async (what, end) => {
  const runtime = openRuntime(memory());
  const thread = await runtime.talked(['hello']);
  let fail: (error: Error) => void = () => {};
  summarising(runtime, () => new Promise((_resolve, reject) => (fail = reject)));
  await compact(thread);
  await runtime.whenTold(thread.id, 'itemStarted contextCompaction');
  if (what === 'an interrupt') thread.interrupt(thread.activeTurnId ?? '', 'test');
  else fail(new Error('no model'));
  await runtime.whenTold(thread.id, end);
  expect(kindsOf(await runtime.records(thread.id))).not.toContain('compacted');
  expect(runtime.told(thread.id)).not.toContain('itemCompleted contextCompaction');
  await runtime.turn(thread, 'and on');
});
