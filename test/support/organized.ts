import type { Json, RpcClient } from './rpc-client.ts';

/** Words as a client sends them. */
export const words = (text: string): Json => [{ type: 'text', text, text_elements: [] }];

/** Queues a message. @returns its id */
export async function enqueue(client: RpcClient, threadId: string, text: string): Promise<string> {
  const params = { threadId, input: words(text), clientUserMessageId: `client ${text}` };
  return (await client.call('thread/queue/add', params)).queuedSubmission.id;
}

/** The words that wait for a thread, in order. */
export async function queuedWords(client: RpcClient, threadId: string): Promise<readonly string[]> {
  const { data } = await client.call('thread/queue/list', { threadId, limit: 100 });
  return data.map(({ input }: Json) => input[0].text);
}

/** What users said in a thread, turn by turn, oldest first. */
export async function saidWords(client: RpcClient, threadId: string): Promise<readonly string[]> {
  const said: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Json = await client.call('thread/turns/list', {
      threadId,
      sortDirection: 'asc',
      itemsView: 'full',
      limit: 100,
      cursor,
    });
    for (const { items } of page.data)
      said.push(
        ...items.filter(({ type }: Json) => type === 'userMessage').map(({ content }: Json) => content[0].text),
      );
    cursor = page.nextCursor;
  } while (cursor !== null);
  return said;
}

/** Ids of the threads of a section, in its order. */
export async function idsIn(client: RpcClient, sectionId: string, more: object = {}): Promise<readonly string[]> {
  const { data } = await client.call('thread/list', { sectionId, sortKey: 'section_position', ...more });
  return data.map(({ id }: Json) => id);
}
