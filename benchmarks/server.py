"""The server under test, a process of its own: ``python -m benchmarks.server VARIANT SINK_URL PROTOCOL``.

It says its port on a line of stdout. To `flush` on stdin it exports all that is queued, to `settle` too, once
no session is open; then it says a line of JSON with its CPU seconds and its memory. It ends when stdin does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks.servers import SERVERS
from benchmarks.variants import VARIANTS, Variant


def set_up_sdk(variant: Variant, sink: str) -> list[Any]:
    """Global providers with the stock processors and exporters, as a user's own set-up has them."""
    from opentelemetry import trace
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = Resource.create({"service.name": "benchmark"})
    tracer_provider = TracerProvider(resource=about)
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{sink}/v1/traces")))
    trace.set_tracer_provider(tracer_provider)
    if not variant.logs:
        return [tracer_provider]

    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    logger_provider = LoggerProvider(resource=about)
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{sink}/v1/logs")))
    set_logger_provider(logger_provider)
    return [tracer_provider, logger_provider]


def instrument(variant: Variant, protocol: str) -> None:
    """Install what *variant* says."""
    if variant.instrumentation == "sessionspan":
        SERVERS[protocol].instrument()
    elif variant.instrumentation == "straightforward":
        from benchmarks import straightforward

        straightforward.instrument(logs=variant.logs, on_span=variant.on_span)


def spare_heap() -> list[bytes]:
    """Memory that stays half empty.

    At an unlucky size of its heap Python gives memory back to the system and takes it again, session by
    session. That costs up to a fifth of a session, and it comes and goes with one import more or less: so
    each server holds pages that have room.
    """
    held = [bytes(100) for _ in range(100_000)]
    return held[::5_000]


async def serve(providers: list[Any], protocol: str) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await SERVERS[protocol].listen()
    idle = len(asyncio.all_tasks())
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        if line.strip() == b"settle":
            while len(asyncio.all_tasks()) > idle:
                await asyncio.sleep(0.01)
        for provider in providers:
            provider.force_flush()
        if line.strip() == b"flush":
            gc.collect()
        print(json.dumps(usage()), flush=True)


def usage() -> dict[str, float]:
    """CPU seconds of this process with the kernel's, and the bytes of memory that are its own."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = Path("/proc/self/smaps_rollup").read_text().splitlines()
    private = sum(int(line.split()[1]) for line in pages if line.startswith("Private_"))
    return {"cpu": used.ru_utime + used.ru_stime, "memory": private * 1024}


def main() -> None:
    """Run the variant that the command line names."""
    name, sink, protocol, *options = sys.argv[1:]
    variant = VARIANTS[name]
    providers = set_up_sdk(variant, sink) if variant.sdk else []
    instrument(variant, protocol)
    kept = spare_heap() if "--spare-heap" in options else []
    asyncio.run(serve(providers, protocol))
    del kept


if __name__ == "__main__":
    main()
