import { expect, it } from 'vitest';
import type { ManagerEvent } from '../../src/runtime/thread-events.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { QUESTIONS } from '../support/asking.ts';
import { accepted, openRuntime } from '../support/runtime.ts';

it('ASK-23 a thread that fails withdraws its questions', async () => {
  const runtime = openRuntime(new MemoryThreadStore({ defaultModelProvider: 'hand' }));
  const thread = await runtime.talked(['hello']);
  const running = await accepted(thread, 'more');
  const call = await runtime.model.call();
  const told: ManagerEvent['type'][] = [];
  runtime.manager.onEvent((_, { type }) => told.push(type));
  const reply = call.request.clients.ask(
    'item/fileChange/requestApproval',
    QUESTIONS['item/fileChange/requestApproval'],
  );
  expect(thread.openQuestions).toHaveLength(1);
  const [question] = thread.openQuestions;
  runtime.onNow = () => {
    runtime.onNow = () => {};
    throw new Error('a defect');
  };
  thread.interrupt(running.turn.id, 'test');
  expect(await reply).toEqual({ type: 'withdrawn' });
  expect(thread.isOver).toBe(true);
  expect(thread.openQuestions).toEqual([]);
  expect(told).toContain('clientQuestionClosed');
  expect(thread.answer(question?.questionId ?? '', { type: 'withdrawn' }, 'test')).toBe(false);
  call.answer('too late');
  await runtime.manager.registry.whenSettled(thread.id);
});
