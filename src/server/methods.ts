import { accountMethods } from './handlers/account-methods.ts';
import { configMethods } from './handlers/config-methods.ts';
import { extensionMethods } from './handlers/extension-methods.ts';
import { lifecycleMethods } from './handlers/lifecycle-methods.ts';
import { metadataMethods } from './handlers/metadata-methods.ts';
import { modelMethods } from './handlers/model-methods.ts';
import { readingMethods } from './handlers/reading-methods.ts';
import { turnMethods } from './handlers/turn-methods.ts';
import type { Method } from './request.ts';

/** Every method that Skein answers, by its name; `initialize` is the dispatcher's own. */
export const METHODS: Readonly<Record<string, Method>> = {
  ...lifecycleMethods,
  ...readingMethods,
  ...metadataMethods,
  ...turnMethods,
  ...accountMethods,
  ...modelMethods,
  ...configMethods,
  ...extensionMethods,
};
