/**
 * One session over HTTP and Socket.IO: the bridge between koa-session and
 * socket.io.
 *
 * ```ts ignore
 * import bridgeSession from "@koa-io/session";
 *
 * const bridge = bridgeSession(app, io, { key: "sid" });
 * ```
 *
 * @module
 */
export {
  bridgeSession,
  bridgeSession as default,
  type Rooms,
  SessionBridge,
  type UserSession,
} from "./src/bridge.ts";
export type { Finding } from "./src/doctor.ts";
export {
  SessionConflictError,
  SessionEndedError,
  type SessionError,
  type SessionErrorCode,
  SessionInvalidError,
  type SessionIssue,
  SessionMissingError,
  SessionStoreError,
  SessionTimeoutError,
} from "./src/errors.ts";
export type {
  BridgeEvents,
  ClientEvents,
  Conflict,
  EndReason,
  SessionChange,
  SessionConflict,
  SessionEnd,
  SessionStart,
  StartCause,
} from "./src/events.ts";
export type { SocketServer } from "./src/fitness.ts";
export type { RefreshContext } from "./src/refresh.ts";
export { generateUid } from "./src/ids.ts";
export type {
  KoaApplication,
  NativeSession,
  RegenerateOptions,
  SessionContext,
  SocketContext,
} from "./src/koa.ts";
export type { Missing } from "./src/missing.ts";
export type {
  BridgeOptions,
  ContextStoreClass,
  ExternalKey,
  OnSessionEnd,
} from "./src/options.ts";
export type { OriginCheck, OriginOption } from "./src/origin.ts";
export type { SchemaResult, SessionSchema } from "./src/schema.ts";
export type { SessionView } from "./src/scope.ts";
export type { SessionTrace } from "./src/trace.ts";
export type { SessionSocket, SocketSession } from "./src/session_socket.ts";
export { SessionStore, type SessionStoreEvents } from "./src/session_store.ts";
export type { SessionStoreOptions } from "./src/session_store_options.ts";
export type { BridgeStats } from "./src/stats.ts";
export type {
  Acquired,
  AtomicStore,
  Awaitable,
  BasicStore,
  Begun,
  Committed,
  RemovalReason,
  SessionData,
  SessionRecord,
  SharedStore,
  StoreCall,
  StoredRecord,
  Version,
} from "./src/store.ts";
