import { accountMethods } from './handlers/account-methods.ts';
import { collectionMethods } from './handlers/collection-methods.ts';
import { configMethods } from './handlers/config-methods.ts';
import { configWriteMethods } from './handlers/config-write-methods.ts';
import { diagnosticsMethods } from './handlers/diagnostics-methods.ts';
import { extensionMethods } from './handlers/extension-methods.ts';
import { goalMethods } from './handlers/goal-methods.ts';
import { lifecycleMethods } from './handlers/lifecycle-methods.ts';
import { metadataMethods } from './handlers/metadata-methods.ts';
import { modelMethods } from './handlers/model-methods.ts';
import { queueMethods } from './handlers/queue-methods.ts';
import { readStateMethods } from './handlers/read-state-methods.ts';
import { readingMethods } from './handlers/reading-methods.ts';
import { reviewMethods } from './handlers/review-methods.ts';
import { settingsMethods } from './handlers/settings-methods.ts';
import { shellMethods } from './handlers/shell-methods.ts';
import { sectionMethods } from './handlers/section-methods.ts';
import { turnMethods } from './handlers/turn-methods.ts';
import { unsupportedMethods } from './handlers/unsupported-methods.ts';
import type { Method } from './request.ts';

const SERVED: Readonly<Record<string, Method>> = {
  ...lifecycleMethods,
  ...readingMethods,
  ...metadataMethods,
  ...turnMethods,
  ...reviewMethods,
  ...settingsMethods,
  ...shellMethods,
  ...goalMethods,
  ...queueMethods,
  ...readStateMethods,
  ...sectionMethods,
  ...accountMethods,
  ...modelMethods,
  ...configMethods,
  ...configWriteMethods,
  ...extensionMethods,
  ...collectionMethods,
  ...diagnosticsMethods,
};

/**
 * Every method that Skein answers, by its name; `initialize` is the dispatcher's own. What is served comes first when
 * they are listed, and counts.
 */
export const METHODS: Readonly<Record<string, Method>> = { ...SERVED, ...unsupportedMethods, ...SERVED };
