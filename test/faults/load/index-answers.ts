import type { RunningDaemon } from '../../support/daemon.ts';
import { RpcClient, type Json } from '../../support/rpc-client.ts';

/** Answers for which the index is read; no page where no thread is known. */
export async function answersOf({ info }: Pick<RunningDaemon, 'info'>): Promise<object> {
  const client = await RpcClient.connect(`unix://${info.socket}`);
  const list = async (params: object): Promise<Json> =>
    (await client.call('thread/list', { limit: 200, modelProviders: [], ...params })).data;
  const [active, archived] = [await list({ archived: false }), await list({ archived: true })];
  const newest: unknown = active[0]?.id;
  const [search, page] = await Promise.all([
    client.call('thread/search', { searchTerm: 'word 7.1', limit: 10 }),
    newest === undefined ? null : client.call('thread/turns/list', { threadId: newest, limit: 2, itemsView: 'full' }),
  ]);
  await client.close();
  return { active, archived, search, page };
}
