/** An application with passport as its documentation builds it, with the middlewares that Koa's users have beside it. */
import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
import helmet from "koa-helmet";
import mount from "koa-mount";
import { KoaPassport } from "koa-passport";
import { Strategy } from "passport-local";
import {
  createApp,
  onConnection,
  type TestContext,
  type TestSession,
} from "./app.ts";
import { type Ack, answer, type Parts } from "./routes.ts";

interface User {
  readonly id: string;
}

type Done = (error: unknown, user?: unknown) => void;

/** What passport adds to a context. */
type PassportContext = TestContext & {
  logout(): Promise<void>;
  readonly state: { readonly user?: User };
};

/** The user that passport keeps in a session. */
export const passportUser = (session: TestSession): string | undefined =>
  (session.passport as { user?: string } | undefined)?.user;

/**
 * Adds passport with the strategy "local", whose password is `right`, and routes in two routers and a mounted application.
 *
 * - `POST /login` redirects home, or to `/denied`
 * - `POST /logout` logs out and redirects home
 * - `GET /me` answers `{ user, sessionId, visits }`; `GET /inner/me` the same, from a mounted application
 * - `POST /visit` counts `visits`
 *
 * A socket answers `me` with the user of its session, or null.
 *
 * @param home where a login and a logout redirect to
 */
export function passportApp({ app, io }: Parts, home = "/me"): void {
  // deno-lint-ignore no-explicit-any
  const passport: any = new KoaPassport();
  passport.serializeUser((user: User, done: Done) => done(null, user.id));
  passport.deserializeUser((id: string, done: Done) => done(null, { id }));
  passport.use(
    new Strategy((username: string, password: string, done: Done) =>
      done(null, password === "right" ? { id: username } : false)
    ),
  );
  const use = (middleware: unknown) => app.use(middleware as never);
  // over plain HTTP a browser would follow redirects to https
  const directives = { upgradeInsecureRequests: null };
  use(helmet({ contentSecurityPolicy: { directives } }));
  use(bodyParser());
  use(passport.initialize());
  use(passport.session());

  const me = (ctx: PassportContext) => {
    ctx.body = {
      user: ctx.state.user?.id ?? null,
      sessionId: ctx.sessionId,
      visits: ctx.session?.visits ?? 0,
    };
  };
  // deno-lint-ignore no-explicit-any
  const router: any = new Router();
  router.get("/me", me);
  router.post("/visit", (ctx: TestContext) => {
    ctx.session!.visits = (ctx.session!.visits as number ?? 0) + 1;
    ctx.status = 204;
  });
  router.get("/denied", (ctx: TestContext) => {
    ctx.status = 401;
    ctx.body = "denied";
  });
  router.post(
    "/login",
    passport.authenticate("local", {
      successRedirect: home,
      failureRedirect: "/denied",
    }),
  );
  router.post(
    "/logout",
    async (ctx: PassportContext & { redirect(url: string): void }) => {
      await ctx.logout();
      ctx.redirect(home);
    },
  );
  use(router.routes());
  use(router.allowedMethods());
  const inner = createApp();
  inner.use(me as never);
  use(mount("/inner/me", inner as never));

  onConnection(io, (socket) => {
    socket.on("whoami", (ack: Ack) => ack({ sessionId: socket.sessionId }));
    socket.on("me", (ack: Ack) => {
      answer(
        ack,
        socket.withSession(
          ({ session }) => passportUser(session!) ?? null,
          null,
        ),
      );
    });
  });
}
