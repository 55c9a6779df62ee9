import { invalidRequest, notFound } from '../../domain/errors.ts';
import { parseThreadId, type ThreadId } from '../../domain/ids.ts';
import { threadGoalClear, threadGoalSet, threadOnly } from '../../protocol/params/thread-params.ts';
import type { ThreadManager } from '../../runtime/thread-manager.ts';
import { method, type Method } from '../request.ts';

/*
 * A goal makes a model go on by itself until it is reached. No model here can pursue one: a goal that is accepted and
 * never worked at would say something untrue. So there are none, and setting one is refused.
 */

const MAX_OBJECTIVE_CHARACTERS = 4_000;

const get = method(threadOnly('ThreadGoalGetParams'), async ({ threadId }, request, { manager }) => {
  await assertMayHaveGoals(manager, parseThreadId(threadId));
  request.answer({ goal: null });
});

const set = method(threadGoalSet, async ({ threadId, objective, tokenBudget }, request, { manager }) => {
  const id = parseThreadId(threadId);
  await assertMayHaveGoals(manager, id);
  if (typeof objective === 'string') {
    const text = objective.trim();
    if (text === '') throw invalidRequest('goal objective must not be empty');
    if (Array.from(text).length > MAX_OBJECTIVE_CHARACTERS) {
      throw invalidRequest(`goal objective must be at most ${MAX_OBJECTIVE_CHARACTERS} characters`);
    }
  }
  if (typeof tokenBudget === 'number' && tokenBudget <= 0) {
    throw invalidRequest('goal budgets must be positive when provided');
  }
  if (typeof objective !== 'string') throw invalidRequest(`cannot update goal for thread ${id}: no goal exists`);
  const message = `goals are not supported: the model ${manager.model.name} cannot work at one by itself`;
  // The terminal program shows that a goal was refused, and not why.
  request.connection.notify('warning', { threadId: id, message });
  throw invalidRequest(message);
});

const clear = method(threadGoalClear, async ({ threadId }, request, { manager }) => {
  await assertMayHaveGoals(manager, parseThreadId(threadId));
  request.answer({ cleared: false });
});

/** @throws for threads that have no goals in the peer either: ephemeral, archived and unknown ones */
async function assertMayHaveGoals(manager: ThreadManager, id: ThreadId): Promise<void> {
  const loaded = manager.find(id);
  if (loaded?.isEphemeral === true) throw invalidRequest(`ephemeral thread does not support goals: ${id}`);
  if (loaded !== undefined) return;
  const thread = await manager.store.readThread(id).catch(() => undefined);
  if (thread === undefined || thread.archivedAtMs !== null) throw notFound(`thread not found: ${id}`);
}

/** Methods about what a thread is to reach by itself. */
export const goalMethods: Readonly<Record<string, Method>> = {
  'thread/goal/get': get,
  'thread/goal/set': set,
  'thread/goal/clear': clear,
};
