import type * as z from 'zod';
import { invalidRequest } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { reviewStart } from '../../protocol/params/thread-params.ts';
import { assertNotTooLong } from '../../protocol/params/user-input.ts';
import { method, type Method } from '../request.ts';

/*
 * A review is a message that asks the model for one, so its answer is whatever the model can give. It is not refused
 * where the model understands nothing: the terminal program ends itself when a review cannot begin.
 */

const start = method(reviewStart, async ({ threadId, target }, request, { manager }) => {
  const thread = manager.get(parseThreadId(threadId));
  const input = [{ type: 'text', text: wordsFor(target), text_elements: [] }];
  assertNotTooLong(input);
  const accepted = (answer: object): void => request.answer({ ...answer, reviewThreadId: thread.id });
  await thread.takeInput({ message: { input, clientId: null }, accepted }, request.cause);
});

/** What the model is asked. @throws invalidRequest if nothing is named that could be reviewed */
function wordsFor(target: z.infer<typeof reviewStart>['target']): string {
  switch (target.type) {
    case 'uncommittedChanges':
      return 'Review the changes that are not committed yet: staged, unstaged, and in files that git does not know.';
    case 'baseBranch':
      return `Review the changes since this branch left ${given(target.branch, 'branch')}.`;
    case 'commit': {
      const { sha, title } = target;
      return `Review the changes of commit ${given(sha, 'sha')}${title ? ` (${title})` : ''}.`;
    }
    case 'custom':
      return given(target.instructions, 'instructions');
  }
}

function given(text: string, what: string): string {
  const words = text.trim();
  if (words === '') throw invalidRequest(`${what} must not be empty`);
  return words;
}

/** Methods that ask for a review of code. */
export const reviewMethods: Readonly<Record<string, Method>> = { 'review/start': start };
