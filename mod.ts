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
} from "./src/bridge/bridge_session.ts";
export { type Rooms, SessionBridge } from "./src/bridge.ts";
export type {
  DestroyAllOptions,
  ListedSession,
} from "./src/bridge/all_sessions.ts";
export type {
  DestroyUserOptions,
  UserSession,
} from "./src/bridge/user_sessions.ts";
export type { Finding } from "./src/bridge/doctor.ts";
export {
  type BaseSessionError,
  SessionConflictError,
  SessionEndedError,
  type SessionError,
  type SessionErrorCode,
  SessionInvalidError,
  type SessionIssue,
  SessionLimitError,
  SessionMissingError,
  SessionStoreError,
  SessionTimeoutError,
} from "./src/api/errors.ts";
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
  UserChange,
} from "./src/api/events.ts";
export { generateUid } from "./src/base/ids.ts";
export type {
  CallbackContext,
  KoaApplication,
  NativeSession,
  RefreshContext,
  RegenerateOptions,
  SessionContext,
  SocketContext,
} from "./src/api/koa.ts";
export type {
  BridgeOptions,
  ContextCallback,
  ContextStoreClass,
  ExternalKey,
  OnSessionEnd,
  OnUserChange,
  OriginCheck,
  OriginOption,
  SessionLimit,
} from "./src/api/options.ts";
export type { SessionTrace } from "./src/base/tracing.ts";
export type { SchemaResult, SessionSchema } from "./src/api/schema.ts";
export type {
  EventArguments,
  ListenEvents,
  SessionSocket,
  SocketFailure,
  SocketServer,
  SocketSession,
} from "./src/api/session_socket.ts";
export type { MissingResult, SessionView } from "./src/api/session_view.ts";
export { SessionStore, type SessionStoreEvents } from "./src/stores/memory.ts";
export type { SessionStoreOptions } from "./src/stores/memory/options.ts";
export type { BridgeLimits, BridgeStats } from "./src/bridge/stats.ts";
export type {
  AcquireResult,
  AtomicStore,
  Awaitable,
  BasicStore,
  BeginOptions,
  BeginResult,
  CommitResult,
  FormerId,
  MoveCondition,
  MoveResult,
  RemovalReason,
  ScannedSession,
  SessionData,
  SessionRecord,
  SharedStore,
  StoreCall,
  StoredRecord,
  Version,
} from "./src/api/store.ts";
