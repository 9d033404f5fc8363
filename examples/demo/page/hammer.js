/** Many counts: ten of one kind at once, 200 transactions at once, or one after another. */

const EACH = 100;
const TEN = 10;
const MEASURED = 20;

/** As long as a query to a database takes: what runs at once overlaps, ms. */
const PAUSE = 20;

/** Ten counts of one kind at once; shows how many of them the session kept. */
export async function ten(api, view, way) {
  const before = (await api.ask("me")).count;
  const answers = await Promise.allSettled(
    Array.from({ length: TEN }, () => api.count(way, PAUSE)),
  );
  const failed = answers.filter(({ status }) => status === "rejected").length;
  const counted = (await api.ask("me")).count - before;
  view.tenCounted(way, { sent: TEN, counted, failed });
}

/** Counts by one kind after the other, for the plot. */
export async function measure(api) {
  for (let i = 0; i < MEASURED; i++) {
    await api.count("transaction");
    await api.count("socket");
  }
}

/** 100 transactions over HTTP and 100 over the socket, all at once. */ export async function hammer(
  api,
  view,
) {
  const before = (await api.ask("me")).count;
  const done = { transaction: 0, socket: 0 };
  const one = async (way) => {
    const value = await api.count(way);
    view.progress(way, ++done[way] / EACH);
    return value;
  };
  view.progress("transaction", 0);
  view.progress("socket", 0);

  const start = performance.now();
  const answers = await Promise.allSettled(
    Array.from(
      { length: 2 * EACH },
      (_, i) => one(i % 2 ? "socket" : "transaction"),
    ),
  );
  const ms = Math.round(performance.now() - start);

  const after = (await api.ask("me")).count;
  const values = answers.flatMap(({ status, value }) =>
    status === "fulfilled" ? [value] : []
  );
  // a value that was returned twice is a lost update
  const counted = new Set(values).size;
  view.result({
    wanted: 2 * EACH,
    counted,
    lost: values.length - counted,
    failed: answers.length - values.length,
    added: after - before,
    ms,
  });
}
