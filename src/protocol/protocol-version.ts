/**
 * The Codex whose protocol Skein speaks. Clients read a server's age from it, and warn their user of one that is older
 * than they are.
 */
export const PROTOCOL_VERSION = '0.169.0';
