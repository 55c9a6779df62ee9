import { anything, appRead, hooksList, paged, pluginSearch, skillsList } from '../../protocol/params/host-params.ts';
import { empty, method, type Method, type Request, type Services } from '../request.ts';
import { pageOf } from './page-of.ts';

/** One empty entry for each folder asked about; without any, for the daemon's own. */
const emptyPerFolder =
  (members: object) =>
  ({ cwds = [] }: { readonly cwds?: readonly string[] | undefined }, request: Request, { manager }: Services): void => {
    const folders = cwds.length === 0 ? [manager.defaults.settings.cwd] : cwds;
    request.answer({ data: folders.map((cwd) => Object.assign({ cwd }, members)) });
  };

const emptyPage = { data: [], nextCursor: null };
const answering = (type: string, result: object): Method =>
  empty(method(anything(type), (_params, request) => request.answer(result)));

/** Skills, hooks, plugins, apps and MCP servers: Skein has none of them, and says so. */
export const extensionMethods: Readonly<Record<string, Method>> = {
  'skills/list': empty(method(skillsList, emptyPerFolder({ skills: [], errors: [] }))),
  'hooks/list': empty(method(hooksList, emptyPerFolder({ hooks: [], warnings: [], errors: [] }))),
  'plugin/list': answering('PluginListParams', {
    marketplaces: [],
    marketplaceLoadErrors: [],
    featuredPluginIds: [],
  }),
  'plugin/installed': answering('PluginInstalledParams', { marketplaces: [], marketplaceLoadErrors: [] }),
  'plugin/search': empty(method(pluginSearch, (_params, request) => request.answer(emptyPage), 'method')),
  'plugin/reconcile': answering('PluginReconcileParams', {
    changedPlugins: [],
    failedRemotePluginIds: [],
    failedMaterializationRemotePluginIds: [],
  }),
  'plugin/share/list': answering('PluginShareListParams', { data: [] }),
  'app/list': answering('AppsListParams', emptyPage),
  'app/read': empty(
    method(appRead, ({ appIds }, request) => request.answer({ apps: [], missingAppIds: [...new Set(appIds)] })),
  ),
  'app/installed': answering('AppsInstalledParams', { apps: [] }),
  'mcpServerStatus/list': empty(
    method(paged('ListMcpServerStatusParams'), (params, request) => request.answer(pageOf([], params, 'MCP servers'))),
  ),
};
