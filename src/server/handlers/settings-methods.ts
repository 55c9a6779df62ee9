import { invalidRequest } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { threadSettingsUpdate, turnSettingsUpdate } from '../../protocol/params/thread-params.ts';
import { method, type Method } from '../request.ts';
import { settingsOverrides } from './settings-overrides.ts';

const update = method(
  threadSettingsUpdate,
  async ({ threadId, ...params }, request, { manager }) => {
    await manager.withLoaded(parseThreadId(threadId), (thread) =>
      thread.updateSettings(settingsOverrides(params, manager), () => request.answer({})),
    );
  },
  'method',
);

/** Changing the turn that runs is switched off in the peer unless its configuration says otherwise. Here it is, too. */
const updateTurn = method(
  turnSettingsUpdate,
  ({ threadId }, _request, { manager }) => {
    manager.get(parseThreadId(threadId));
    throw invalidRequest('turn settings updates require the step_model_switching feature');
  },
  'method',
);

/** Methods that change how a thread is run without asking anything of it. */
export const settingsMethods: Readonly<Record<string, Method>> = {
  'thread/settings/update': update,
  'turn/settings/update': updateTurn,
};
