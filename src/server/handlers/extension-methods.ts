import { anything, listOfFolders, paged } from '../../protocol/params/host-params.ts';
import { method, type Method, type Request, type Services } from '../request.ts';

/** One empty entry for each folder asked about; without any, for the daemon's own. */
const emptyPerFolder =
  (members: object) =>
  ({ cwds = [] }: { readonly cwds?: readonly string[] | undefined }, request: Request, { manager }: Services): void => {
    const folders = cwds.length === 0 ? [manager.defaults.settings.cwd] : cwds;
    request.answer({ data: folders.map((cwd) => Object.assign({ cwd }, members)) });
  };

const emptyPage = { data: [], nextCursor: null };
const answering = (result: object): Method => method(anything, (_params, request) => request.answer(result));

/** Skills, hooks, plugins, apps and MCP servers: Skein has none of them, and says so. */
export const extensionMethods: Readonly<Record<string, Method>> = {
  'skills/list': method(listOfFolders('SkillsListParams'), emptyPerFolder({ skills: [], errors: [] })),
  'hooks/list': method(listOfFolders('HooksListParams'), emptyPerFolder({ hooks: [], warnings: [], errors: [] })),
  'plugin/list': answering({ marketplaces: [], marketplaceLoadErrors: [], featuredPluginIds: [] }),
  'plugin/installed': answering({ marketplaces: [], marketplaceLoadErrors: [] }),
  'app/list': answering(emptyPage),
  'app/installed': answering({ apps: [] }),
  'mcpServerStatus/list': method(paged('ListMcpServerStatusParams'), (_params, request) => request.answer(emptyPage)),
};
