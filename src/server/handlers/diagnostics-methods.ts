import { anything } from '../../protocol/params/host-params.ts';
import { method, type Method } from '../request.ts';

/** What can be asked about the daemon's process; more of it is told by the debug socket. */
export const diagnosticsMethods: Readonly<Record<string, Method>> = {
  'server/diagnostics': method(
    anything('ServerDiagnosticsParams'),
    (_params, request, { manager }) => {
      const { loaded } = manager;
      const active = loaded.filter(({ status }) => status.type === 'active').length;
      request.answer({
        process: { id: process.pid, residentMemoryBytes: process.memoryUsage.rss(), physicalFootprintBytes: null },
        gauges: [
          { name: 'core.threads.live', value: loaded.length },
          { name: 'core.turns.active', value: active },
        ],
      });
    },
    'method',
  ),
};
