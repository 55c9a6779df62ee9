import { invalidRequest } from '../../domain/errors.ts';

/**
 * There are no projects here: none that a client names can be found.
 * @throws invalidRequest for any id; null, and what makes a thread belong to none, are fine
 */
export function assertNoProject(projectId: string | null | undefined): void {
  if (projectId) throw invalidRequest(`project not found: ${projectId}`);
}
