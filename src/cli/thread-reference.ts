import { arrayMember, isJsonObject, stringMember } from '../domain/json.ts';
import { withDaemon, type DaemonClient } from './daemon-client.ts';
import { CliError, EXIT, usageError } from './exit-code.ts';

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Threads looked through for a name. */
const NAME_PAGE = 100;

/** What the user calls a thread, as an id: the id itself, or the whole name of one thread. */
export const resolveThread = (home: string | undefined, reference: string): Promise<string> =>
  UUID.test(reference)
    ? Promise.resolve(reference.toLowerCase())
    : withDaemon(home, (client) => findThread(client, reference));

/** As {@link resolveThread}, over a connection that is there. @throws CliError if none or several have the name */
export async function findThread(client: DaemonClient, reference: string): Promise<string> {
  if (UUID.test(reference)) return reference.toLowerCase();
  const pages = await Promise.all(
    [false, true].map((archived) =>
      client.call('thread/list', { searchTerm: reference, modelProviders: [], archived, limit: NAME_PAGE }),
    ),
  );
  const ids = pages
    .flatMap((page) => arrayMember(page, 'data'))
    .filter(isJsonObject)
    .filter((thread) => thread['name'] === reference)
    .map((thread) => stringMember(thread, 'id') ?? '');
  const [id] = ids;
  if (id === undefined) throw new CliError(EXIT.notFound, `no thread has the id or the name ${reference}`);
  if (ids.length > 1) throw usageError(`${ids.length} threads are called ${reference}: ${ids.join(', ')}`);
  return id;
}
