import { describe, expect, it } from 'vitest';
import { internal, overloaded } from '../../src/domain/errors.ts';
import { newThreadId, newUuid } from '../../src/domain/ids.ts';
import type { ClientReply } from '../../src/domain/client-request.ts';
import type { RolloutItem, RolloutLine } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { settingsAppliedItem, type ThreadSettings } from '../../src/domain/thread-settings.ts';
import type { UserMessage } from '../../src/domain/user-input.ts';
import type { ModelClient, ModelEvent } from '../../src/engine/model-client.ts';
import type { TurnEvent, TurnOutcome } from '../../src/engine/turn-events.ts';
import { TurnRunner } from '../../src/engine/turn-runner.ts';
import type { TurnHistory } from '../../src/engine/turn-setup.ts';
import type { AppendOptions } from '../../src/live/live-thread.ts';
import { QUESTIONS } from '../support/asking.ts';
import { gate } from '../support/intercepted-store.ts';
import { completed, ModelDouble, saying, usage, type ModelCall } from '../support/model-double.ts';
import { T0 } from '../support/records.ts';
import { kindsOf, message, SETTINGS, wordsIn } from '../support/runtime.ts';
import { until } from '../support/until.ts';

/** What a turn is given to write to: keeps everything, and may be told to fail. */
class HistoryDouble implements TurnHistory {
  readonly historyMode: HistoryMode;
  readonly appends: { readonly items: readonly RolloutItem[]; readonly options: AppendOptions | undefined }[] = [];
  onAppend: (items: readonly RolloutItem[]) => void | Promise<void> = () => {};

  constructor(historyMode: HistoryMode) {
    this.historyMode = historyMode;
  }

  async append(items: readonly RolloutItem[], options?: AppendOptions): Promise<void> {
    await this.onAppend(items);
    this.appends.push({ items, options });
  }

  async *records(): AsyncGenerator<RolloutLine> {
    for (const item of this.items) yield { timestamp: '', item };
  }

  settingsNews(settings: ThreadSettings): readonly RolloutItem[] {
    return [settingsAppliedItem('thread', settings)];
  }

  get items(): readonly RolloutItem[] {
    return this.appends.flatMap(({ items }) => items);
  }
}

interface RunningTurn {
  readonly runner: TurnRunner;
  readonly history: HistoryDouble;
  readonly model: ModelDouble;
  readonly told: TurnEvent[];
  readonly run: (said?: UserMessage) => Promise<TurnOutcome>;
  /** Steers, and says what came of it. */
  readonly steer: (text: string) => Promise<boolean>;
  /** Questions to clients, answered by the test. */
  readonly asked: { readonly signal: AbortSignal; readonly settle: (reply: ClientReply) => void }[];
}

function turn(mode: HistoryMode = 'paginated', client?: ModelClient): RunningTurn {
  const history = new HistoryDouble(mode);
  const model = new ModelDouble();
  const told: TurnEvent[] = [];
  const asked: RunningTurn['asked'] = [];
  const runner = new TurnRunner({
    threadId: newThreadId(),
    turnId: newUuid(),
    settings: SETTINGS,
    history,
    model: client ?? model,
    tokensBefore: usage(100, 10),
    durability: 'power',
    tell: (event) => told.push(event),
    askClients: (_, signal) => new Promise((settle) => asked.push({ signal, settle })),
    now: () => T0,
  });
  const run = (said = message('hello', 'client-1')): Promise<TurnOutcome> => runner.run(said, () => {});
  return { runner, history, model, told, run, steer: (text) => runner.steer(message(text), () => {}), asked };
}

const inShort = (event: TurnEvent): string =>
  event.type === 'itemStarted' || event.type === 'itemCompleted' ? `${event.type} ${event.item.type}` : event.type;

const USER_TOLD = ['itemStarted userMessage', 'itemCompleted userMessage'];

const answerOf = (model: ModelDouble): Promise<ModelCall> => model.call();

describe('turn runner', () => {
  it.each([
    ['legacy', 'user_message', 'agent_message'],
    ['paginated', 'UserMessage', 'AgentMessage'],
  ] as const)('TURN-1 records what happens, in order, as %s history has it', async (mode, user, agent) => {
    const { model, history, run } = turn(mode);
    const running = run();
    (await answerOf(model)).answer('hi', usage(3, 1));
    await running;
    const parts = history.appends.map(({ items }) => kindsOf(items));
    expect(parts).toEqual([
      ['task_started', 'turn_context', 'thread_settings_applied', 'model reads user', user],
      [agent, 'model reads assistant'],
      ['token_count'],
      ['task_complete'],
    ]);
    expect(history.appends.map(({ options }) => [options?.durability, options?.onFailure])).toEqual([
      ['power', 'withdraw'],
      ['process', undefined],
      ['process', undefined],
      ['power', undefined],
    ]);
  });

  it('TURN-2 tells what happens, in order, and ends with the last words of the agent', async () => {
    const { model, told, run } = turn();
    const running = run();
    (await answerOf(model)).send(...saying('m1', 'one ', 'two'), ...saying('m2', 'three'), completed()).end();
    const outcome = await running;
    expect(told.map(inShort)).toEqual([
      'turnStarted',
      ...USER_TOLD,
      'itemStarted agentMessage',
      'agentMessageDelta',
      'agentMessageDelta',
      'itemCompleted agentMessage',
      'itemStarted agentMessage',
      'agentMessageDelta',
      'itemCompleted agentMessage',
      'tokensUsed',
    ]);
    expect(told[1]).toMatchObject({ item: { clientId: 'client-1', content: [{ type: 'text', text: 'hello' }] } });
    expect(outcome).toMatchObject({
      status: 'completed',
      turn: { status: 'completed', itemsView: 'summary', items: [{ id: 'm2', text: 'three' }], durationMs: 0 },
    });
  });

  it('TURN-3 accepts the user’s words when they are durable, tells nothing before, and calls no model', async () => {
    const { runner, history, model, told } = turn();
    const written = gate();
    history.onAppend = () => written.passed;
    const order: string[] = [];
    const running = runner.run(message('hello'), () => order.push(`accepted after ${history.appends.length} writes`));
    const called = model.call().then((call) => {
      order.push('called');
      return call;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([order, told]).toEqual([[], []]);
    history.onAppend = () => {};
    written.open();
    (await called).answer('hi');
    await running;
    expect(order).toEqual(['accepted after 1 writes', 'called']);
    expect(wordsIn(history.items)[0]).toBe('user: hello');
  });

  it('TURN-4 words that cannot be stored are no turn: nothing is told, and what waited is not taken', async () => {
    const { runner, history, told, steer } = turn();
    const failed = gate();
    history.onAppend = async () => {
      await failed.passed;
      throw internal('the disk is full');
    };
    let isAccepted = false;
    const running = runner.run(message('hello'), () => (isAccepted = true));
    const steered = steer('and this');
    failed.open();
    await expect(running).rejects.toThrow('the disk is full');
    expect([isAccepted, told, await steered, await steer('later')]).toEqual([false, [], false, false]);
  });

  it('TURN-5 steering cuts the answer, whose text is lost, and the same turn goes on with all that was said', async () => {
    const { model, history, told, run, steer } = turn();
    const running = run();
    const first = await answerOf(model);
    first.send(
      { type: 'messageStarted', itemId: 'cut' },
      { type: 'messageDelta', itemId: 'cut', delta: 'half an ans' },
    );
    await until(() => told.some((event) => event.type === 'agentMessageDelta'));
    const second = answerOf(model);
    expect(await steer('rather this')).toBe(true);
    const call = await second;
    expect(first.signal.aborted).toBe(true);
    expect(call.said).toEqual(['hello', 'rather this']);
    // What the first call does now is nobody's.
    first.send({ type: 'messageCompleted', itemId: 'cut', text: 'half an answer' }, completed(usage(1, 1))).end();
    call.answer('fine');
    const outcome = await running;
    expect(told.map(inShort)).toEqual([
      'turnStarted',
      ...USER_TOLD,
      'itemStarted agentMessage',
      'agentMessageDelta',
      ...USER_TOLD,
      'itemStarted agentMessage',
      'agentMessageDelta',
      'itemCompleted agentMessage',
      'tokensUsed',
    ]);
    expect(wordsIn(history.items)).toEqual(['user: hello', 'user: rather this', 'assistant: fine']);
    expect(outcome.turn.items).toMatchObject([{ text: 'fine' }]);
    expect(new Set(told.flatMap((event) => ('turnId' in event ? [event.turnId] : []))).size).toBe(1);
  });

  it('TURN-6 an interrupt ends the turn: partial text is lost, the model will read that it was stopped', async () => {
    const { runner, model, history, run, steer } = turn();
    const running = run();
    const call = await answerOf(model);
    call.send({ type: 'messageStarted', itemId: 'cut' }, { type: 'messageDelta', itemId: 'cut', delta: 'half' });
    runner.interrupt();
    expect(await running).toMatchObject({
      status: 'interrupted',
      turn: { status: 'interrupted', items: [], error: null },
    });
    expect(call.signal.aborted).toBe(true);
    expect(history.appends.at(-1)).toMatchObject({ options: { durability: 'power' } });
    expect(kindsOf(history.appends.at(-1)?.items ?? [])).toEqual(['model reads user', 'turn_aborted']);
    expect(wordsIn(history.items).at(-1)).toContain('<turn_aborted>');
    expect(JSON.stringify(history.items)).not.toContain('half');
    expect(await steer('too late')).toBe(false);
  });

  it('TURN-7 an interrupt before the model is called calls none, and leaves waiting messages to the next turn', async () => {
    const { runner, history, run, steer } = turn();
    const written = gate();
    history.onAppend = () => written.passed;
    const running = run();
    const waiting = [steer('one'), steer('two')];
    runner.interrupt();
    written.open();
    expect((await running).status).toBe('interrupted');
    expect(await Promise.all(waiting)).toEqual([false, false]);
    expect(wordsIn(history.items)).toHaveLength(2);
  });

  it('TURN-8 a model that fails in the middle fails the turn with its message; what was whole stays', async () => {
    const { model, history, run } = turn();
    const running = run();
    const call = await answerOf(model);
    call.send(...saying('m1', 'whole'), { type: 'messageStarted', itemId: 'm2' });
    call.fail('the connection broke');
    expect(await running).toMatchObject({
      status: 'failed',
      error: { message: 'the connection broke' },
      turn: { status: 'failed', items: [], error: { message: 'the connection broke' } },
    });
    expect(history.items.at(-1)?.payload).toMatchObject({
      type: 'task_complete',
      last_agent_message: 'whole',
      error: { message: 'the connection broke' },
    });
    expect(wordsIn(history.items)).toEqual(['user: hello', 'assistant: whole']);
  });

  it('TURN-9 a model that fails at once, or makes no stream, fails the turn', async () => {
    const broken: ModelClient = {
      name: 'broken',
      description: 'A double.',
      contextWindow: null,
      stream: () => {
        throw new Error('no key');
      },
    };
    expect(await turn('paginated', broken).run()).toMatchObject({ status: 'failed', error: { message: 'no key' } });
  });

  it('TURN-10 what a model does after it has completed is not waited for', async () => {
    for (const after of [(call: ModelCall) => call.fail('too late'), () => {}]) {
      const { model, run } = turn();
      const running = run();
      const call = await answerOf(model);
      call.send(...saying('m1', 'done'), completed());
      after(call);
      expect((await running).status).toBe('completed');
    }
  });

  it('TURN-11 takes an input without words', async () => {
    const { model, history, run } = turn();
    const running = run({ input: [], clientId: null });
    const call = await answerOf(model);
    expect(call.request.messages).toMatchObject([{ input: [] }]);
    call.answer('yes?');
    expect((await running).status).toBe('completed');
    expect(kindsOf(history.items)).toContain('UserMessage');
  });

  it('TURN-12 lets 64 messages wait, refuses more, and takes all of them up at once', async () => {
    const { model, history, run, steer } = turn();
    const written = gate();
    history.onAppend = () => written.passed;
    const running = run();
    const texts = Array.from({ length: 64 }, (_, index) => `message ${index}`);
    const waiting = texts.map(steer);
    await expect(steer('one more')).rejects.toMatchObject({ code: 'overloaded' });
    history.onAppend = () => {};
    written.open();
    expect(await Promise.all(waiting)).toEqual(texts.map(() => true));
    const call = await answerOf(model);
    expect(call.said).toEqual(['hello', ...texts]);
    call.answer('all read');
    await running;
  });

  it('TURN-13 a message that comes as the turn ends is not taken, and one just before is answered', async () => {
    const { model, run, steer } = turn();
    const running = run();
    (await answerOf(model)).answer('done');
    expect((await running).status).toBe('completed');
    expect(await steer('too late')).toBe(false);

    const other = turn();
    let steered: Promise<boolean> | undefined;
    other.history.onAppend = (items) => {
      if (kindsOf(items).includes('token_count')) steered ??= other.steer('just in time');
    };
    const otherRun = other.run();
    (await answerOf(other.model)).answer('done');
    const call = await answerOf(other.model);
    expect(call.said).toEqual(['hello', 'just in time']);
    expect(await steered).toBe(true);
    call.answer('that too');
    expect((await otherRun).turn.items).toMatchObject([{ text: 'that too' }]);
  });

  it('TURN-14 counts tokens on from those of the thread', async () => {
    const { runner, model, history, told, run } = turn();
    const running = run();
    (await answerOf(model)).answer('hi', usage(5, 2));
    await running;
    expect(runner.totalTokens).toEqual(usage(105, 12));
    expect(told.find((event) => event.type === 'tokensUsed')).toMatchObject({
      last: usage(5, 2),
      total: usage(105, 12),
      modelContextWindow: 1_000,
    });
    const record = history.items.find(({ payload }) => payload['type'] === 'token_count');
    expect(record?.payload['info']).toMatchObject({
      total_token_usage: { input_tokens: 105, output_tokens: 12, total_tokens: 117 },
      last_token_usage: { total_tokens: 7 },
      model_context_window: 1_000,
    });
  });

  it('TURN-15 goes on when the store cannot write now but keeps the record', async () => {
    const { model, history, told, run } = turn();
    const running = run();
    const call = await answerOf(model);
    history.onAppend = () => {
      throw internal('the disk is full');
    };
    call.answer('hi');
    expect((await running).status).toBe('completed');
    expect(told.map(inShort)).toContain('itemCompleted agentMessage');
    expect(told.map(inShort)).not.toContain('warning');
  });

  it('TURN-16 fails when the store refuses a record: what would be lost is not told as complete', async () => {
    const { model, history, told, run } = turn();
    const running = run();
    const call = await answerOf(model);
    history.onAppend = () => {
      throw overloaded('too much waits already');
    };
    call.answer('hi');
    expect(await running).toMatchObject({ status: 'failed', error: { message: 'too much waits already' } });
    expect(told.map(inShort)).not.toContain('itemCompleted agentMessage');
    expect(told.at(-1)).toMatchObject({ type: 'warning' });
  });

  it('TURN-17 refuses a message whose words cannot be stored, and goes on with the others', async () => {
    const { model, history, run, steer } = turn();
    const running = run();
    await answerOf(model);
    history.onAppend = (items) => {
      if (wordsIn(items).includes('user: bad')) throw internal('the disk is full');
    };
    const next = answerOf(model);
    const refused = steer('bad');
    const taken = steer('good');
    await expect(refused).rejects.toThrow('the disk is full');
    expect(await taken).toBe(true);
    const call = await next;
    expect(call.said).toEqual(['hello', 'good']);
    call.answer('fine');
    expect((await running).status).toBe('completed');
  });

  it('TURN-18 a model that streams without a pause lets everyone else have their turn', async () => {
    const deltas = 100_000;
    const fast: ModelClient = {
      name: 'fast',
      description: 'A double.',
      contextWindow: null,
      async *stream(): AsyncGenerator<ModelEvent> {
        yield { type: 'messageStarted', itemId: 'm' };
        for (let index = 0; index < deltas; index += 1) yield { type: 'messageDelta', itemId: 'm', delta: 'x' };
        yield { type: 'messageCompleted', itemId: 'm', text: 'x' };
        yield completed();
      },
    };
    const { told, run } = turn('paginated', fast);
    const running = { isOver: false };
    let rounds = 0;
    const others = async (): Promise<void> => {
      while (!running.isOver) {
        await new Promise((resolve) => setImmediate(resolve));
        rounds += 1;
      }
    };
    const looking = others();
    await run();
    running.isOver = true;
    await looking;
    expect(told.filter((event) => event.type === 'agentMessageDelta')).toHaveLength(deltas);
    expect(rounds).toBeGreaterThan(deltas / 1_000);
  });

  it('TURN-19 whatever goes wrong once the words are stored, the turn gets an end', async () => {
    const { runner, history, told } = turn();
    const running = runner.run(message('hello'), () => {
      throw new Error('nobody to answer');
    });
    expect(await running).toMatchObject({ status: 'failed', error: { message: 'nobody to answer' } });
    expect(kindsOf(history.items).at(-1)).toBe('task_complete');
    expect(told).toEqual([]);
  });

  it('ASK-21 words that steer a turn while it waits for a client are stored and taken, or refused; the question stays', async () => {
    const { history, model, run, steer, asked } = turn();
    const running = run();
    const call = await answerOf(model);
    const reply = call.request.clients.ask('item/tool/call', QUESTIONS['item/tool/call']);
    history.onAppend = (items) => {
      if (JSON.stringify(items).includes('bad')) throw internal('the disk is full');
    };
    await expect(steer('bad')).rejects.toThrow('the disk is full');
    expect(await steer('good')).toBe(true);
    expect(call.signal.aborted).toBe(false);
    asked[0]?.settle({ type: 'withdrawn' });
    await reply;
    call.answer('one');
    const again = await answerOf(model);
    expect(again.said).toEqual(['hello', 'good']);
    again.answer('two');
    expect(await running).toMatchObject({ status: 'completed' });
    expect(await steer('late')).toBe(false);
  });

  it('ASK-22 a turn ends after the words that it was about to take, and every question with it', async () => {
    const { runner, history, model, told, run, steer, asked } = turn();
    const running = run();
    const call = await answerOf(model);
    const reply = call.request.clients.ask('item/tool/call', QUESTIONS['item/tool/call']);
    const held = gate();
    let isWriting = false;
    history.onAppend = () => {
      isWriting = true;
      return held.passed;
    };
    const steered = steer('and this');
    await until(() => isWriting);
    runner.interrupt();
    await until(() => asked[0]?.signal.aborted === true);
    asked[0]?.settle({ type: 'withdrawn' });
    expect(await reply).toEqual({ type: 'withdrawn' });
    expect(await call.request.clients.ask('item/tool/call', QUESTIONS['item/tool/call'])).toEqual({
      type: 'withdrawn',
    });
    expect(asked).toHaveLength(1);
    held.open();
    expect(await steered).toBe(true);
    expect(await running).toMatchObject({ status: 'interrupted' });
    expect(kindsOf(history.items).at(-1)).toMatch(/abort/);
    expect(told.map(inShort).slice(-2)).toEqual(USER_TOLD);
  });
});
