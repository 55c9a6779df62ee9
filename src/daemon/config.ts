import * as z from 'zod';

/**
 * The daemon's configuration. The schema is the documentation: `daemon.config.schema.json` is made from it, and
 * `daemon.config.json` holds its defaults; a test keeps the three in step.
 */
export const configSchema = z
  .strictObject({
    $schema: z.string().optional().describe('Path of the JSON schema, for editors.'),
    listen: z
      .array(z.string())
      .default(['ws://127.0.0.1:0'])
      .describe(
        'Addresses for clients: ws://IP:PORT (port 0: one that is free, and the same at the next start unless somebody else has it then) or unix://PATH. The daemon always has a socket of its own below its home besides.',
      ),
    auth: z
      .enum(['token', 'none'])
      .default('token')
      .describe(
        'What WebSocket clients present: the token in <home>/skein/token as a bearer token, or nothing. Unix sockets rely on file permissions. Without a token only loopback addresses are listened on.',
      ),
    allowedOrigins: z
      .array(z.string())
      .default([])
      .describe('Values of the Origin header that are let in. Browsers send one; none is let in by default.'),
    allowedHosts: z.array(z.string()).default([]).describe('Names besides localhost that the Host header may carry.'),
    model: z
      .strictObject({
        client: z
          .enum(['echo'])
          .default('echo')
          .describe('What answers turns. echo: says back what was said; works offline, understands nothing.'),
        provider: z
          .string()
          .min(1)
          .default('echo')
          .describe(
            'Provider id that new threads record. Codex only opens threads whose provider its config.toml knows.',
          ),
        name: z.string().min(1).default('echo').describe('Model name that new threads record.'),
        others: z
          .array(z.string().min(1))
          .default([])
          .describe('Other names that clients may choose from (`/model`). The choice is recorded with the thread.'),
        efforts: z
          .array(z.string().min(1))
          .default([])
          .describe('Reasoning efforts that clients may choose from, least first. None: no choice is offered.'),
      })
      .prefault({})
      .describe('The model that turns run against.'),
    durability: z
      .enum(['power', 'process'])
      .default('power')
      .describe(
        "What the user's input and the end of a turn survive once acknowledged. power: loss of power (fdatasync). process: the end of the daemon.",
      ),
    threads: z
      .strictObject({
        cwd: z
          .string()
          .nullable()
          .default(null)
          .describe('Folder of threads whose client names none. null: the folder that the daemon runs in.'),
        approvalPolicy: z
          .enum(['untrusted', 'on-request', 'never'])
          .default('on-request')
          .describe('Approval policy of threads whose client names none.'),
        sandbox: z
          .enum(['read-only', 'workspace-write', 'danger-full-access'])
          .default('read-only')
          .describe('Sandbox of threads whose client names none.'),
        shellCommand: z
          .boolean()
          .default(true)
          .describe(
            'Whether clients may run commands of their own in the folder of a thread (thread/shellCommand, `!command` in the terminal program). They run as the user of the daemon, without a sandbox and without being asked about. false: such a command is shown as declined.',
          ),
      })
      .prefault({})
      .describe('What new threads start with.'),
    limits: z
      .strictObject({
        unloadDelaySeconds: z
          .number()
          .min(0)
          .default(60)
          .describe('How long a thread that nobody watches and that does nothing stays loaded.'),
        connections: z
          .int()
          .min(1)
          .max(2_000)
          .default(512)
          .describe('Clients that may be connected at once. More are refused with status 503.'),
        initializeSeconds: z
          .number()
          .min(0.1)
          .max(86_400)
          .default(60)
          .describe('How long a client may take to introduce itself once it is connected.'),
        openRollouts: z.int().min(8).default(256).describe('Rollout files kept open at once.'),
        drainSeconds: z
          .number()
          .min(0)
          .default(60)
          .describe('How long running turns may go on after the first signal to stop.'),
        shutdownSeconds: z
          .number()
          .min(0.1)
          .default(5)
          .describe(
            'How long the daemon may take to write what is queued and to close everything, once it waits for turns no more. Then it ends in any case, and says what could not be saved.',
          ),
      })
      .prefault({})
      .describe('Bounds.'),
    log: z
      .strictObject({
        level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least level that is logged.'),
        maxFileBytes: z
          .int()
          .min(10_000)
          .default(10_485_760)
          .describe('Size at which <home>/skein/daemon.log is set aside and begun anew.'),
        keptFiles: z.int().min(0).default(4).describe('Set-aside log files that are kept.'),
      })
      .prefault({})
      .describe('The log.'),
    debugSocket: z
      .boolean()
      .default(true)
      .describe('Whether <home>/skein/debug.sock (mode 0600, read-only) is there for `skein debug`.'),
  })
  .describe('Configuration of the Skein daemon.');

export type Config = z.output<typeof configSchema>;

/** What the file may hold: every member can be left out. */
export type ConfigInput = z.input<typeof configSchema>;

/** The configuration of a daemon that was told nothing. */
export const DEFAULT_CONFIG: Config = configSchema.parse({});

/** The schema that stands beside the default configuration. */
export const configJsonSchema = (): object => z.toJSONSchema(configSchema, { io: 'input' });
