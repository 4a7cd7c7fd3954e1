"""The routes: a page, its files, and an API that OpenAPI describes at /openapi.json."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

import sclgan
from sclgan.data.printable import printable
from sclgan.serving import drawing, schemas
from sclgan.serving.checks import Checks
from sclgan.serving.drawing import Served
from sclgan.serving.guard import Guard
from sclgan.serving.limits import LARGEST_SEED, Limits
from sclgan.serving.queue import ModelQueue, QueueFullError
from sclgan.serving.words import parts

T = TypeVar("T")
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "api", "between", "detail", "draw", "link", "sentence")
    },
}
"""Path, file and type of all that the page is made of."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Problem, "description": "No such run."},
    413: {"model": schemas.Problem, "description": "The body is too long."},
    422: {"model": schemas.Problem, "description": "A field is missing, of another type or beyond its limits."},
    503: {"model": schemas.Problem, "description": "Too many requests wait; Retry-After says when to ask again."},
    504: {"model": schemas.Problem, "description": "The answer took too long."},
}
NO_JSON = "The body is not JSON."
OF_THE_LIBRARIES = {
    "Not Found": (404, "Nothing is at this address; /openapi.json lists what is."),
    "Method Not Allowed": (405, "This address does not take that method; /openapi.json lists those that it takes."),
    "There was an error parsing the body": (422, NO_JSON),
}
HUNG_UP = 499  # never sent: nobody is there to read it


def application(served: Sequence[Served], limits: Limits, hosts: Collection[str] | None) -> FastAPI:
    """The ASGI application for these runs; see `Guard` for `hosts`."""
    queue = ModelQueue(limits.queue_length)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    app = FastAPI(
        title="sclgan",
        version=sclgan.__version__,
        summary="Pictures from sentences",
        docs_url=None,  # both pages fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.queue = queue
    app.add_middleware(Guard, limits=limits, hosts=hosts)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _refused)
    _add_page(app)
    _add_api(app, Checks({one.name: one for one in served}, limits), queue)
    return app


def _add_page(app: FastAPI) -> None:
    folder = files("sclgan.serving") / "static"
    for path, (name, kind) in PAGE.items():
        answer = Response((folder / name).read_bytes(), media_type=kind)
        app.add_api_route(path, partial(_same, answer), methods=["GET"], include_in_schema=False)


async def _same(answer: Response) -> Response:
    return answer


def _add_api(app: FastAPI, checks: Checks, queue: ModelQueue) -> None:
    served, limits = checks.served, checks.limits

    @app.get("/api/server")
    async def server() -> schemas.ServerFacts:
        """The runs that this server draws with, and the limits of a request."""
        own = {name: getattr(limits, name) for name in schemas.LimitFacts.model_fields if hasattr(limits, name)}
        return schemas.ServerFacts(
            version=sclgan.__version__,
            runs=[_facts(one) for one in served.values()],
            limits=schemas.LimitFacts(largest_seed=LARGEST_SEED, **own),
        )

    @app.post("/api/words", responses=REFUSALS)
    async def words(body: schemas.WordsRequest) -> schemas.Words:
        """Which words of a caption a run reads, and which it leaves out."""
        one = checks.run(body.run)
        checks.length(body.caption)
        found = parts(body.caption, one.run.tokenizer)
        return schemas.Words(parts=[schemas.Part(text=text, kind=kind) for text, kind in found])

    @app.post("/api/pictures", responses=REFUSALS)
    async def pictures(body: schemas.PicturesRequest, request: Request) -> schemas.Pictures:
        """The pictures of `sclgan sample` for one caption, with the same seed."""
        one = checks.run(body.run)
        checks.number(body.num_images)
        checks.readable(one, body.caption)
        work = partial(drawing.pictures, one.run, body.caption, num_images=body.num_images, seed=body.seed)
        left_out = one.run.tokenizer.read(body.caption).left_out(body.caption)
        return schemas.Pictures(
            pictures=[_text(png) for png in await answered(request, queue, work)], left_out=left_out
        )

    @app.post("/api/maps", responses=REFUSALS)
    async def maps(body: schemas.MapsRequest, request: Request) -> schemas.PictureMaps:
        """What the generator looks at in one picture: its attention to each word, or its fusion masks."""
        one = checks.run(body.run)
        if one.maps is None:
            raise HTTPException(422, "The GAN of this run has no attention and no masks to show.")
        checks.number(body.num_images)
        if body.picture >= body.num_images:
            raise HTTPException(
                422, f"Pictures are numbered from 0 to {body.num_images - 1}: {body.picture} is not one."
            )
        checks.readable(one, body.caption)
        work = partial(
            drawing.picture_maps,
            *(one.run, body.caption),
            num_images=body.num_images,
            seed=body.seed,
            number=body.picture,
        )
        found = await answered(request, queue, work)
        return schemas.PictureMaps(maps=[schemas.Map(label=label, png=_text(png)) for label, png in found])

    @app.post("/api/between", responses=REFUSALS)
    async def between(body: schemas.BetweenRequest, request: Request) -> schemas.Between:
        """One picture on the way from a caption and its noise to another caption and another noise."""
        one = checks.run(body.run)
        checks.readable(one, *body.captions)
        captions, seeds = (body.captions[0], body.captions[1]), (body.seeds[0], body.seeds[1])
        work = partial(drawing.between, one.run, captions, seeds, sentence=body.sentence, noise=body.noise)
        return schemas.Between(picture=_text(await answered(request, queue, work)))


async def answered(request: Request, queue: ModelQueue, work: Callable[[], T]) -> T:
    """The result of work on the model, while the client waits and the deadline is not over.

    Raises:
        HTTPException: the queue is full, the time is over, or the client hung up, which frees its place.
    """
    done = asyncio.create_task(queue.run(work))
    gone = asyncio.create_task(_hung_up(request))
    try:
        async with asyncio.timeout_at(request.state.deadline):
            await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise HTTPException(HUNG_UP)
        result: T = done.result()
        return result
    except QueueFullError as full:
        sentence = f"Too many requests wait for the model: try again in {full.retry_after} s."
        # Closed, because it would be idle until then: a client that used it again could meet its end.
        headers = {"Retry-After": str(full.retry_after), "Connection": "close"}
        raise HTTPException(503, sentence, headers=headers) from full
    except TimeoutError as late:
        raise HTTPException(504, "The picture was not ready in time: ask for fewer, or try again later.") from late
    finally:
        done.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _facts(one: Served) -> schemas.RunFacts:
    run = one.run
    return schemas.RunFacts(
        name=one.name,
        recipe=run.recipe.name,
        step=run.step,
        image_size=run.recipe.image_size,
        max_words=run.tokenizer.max_words,
        noise_size=run.gan.z_dim,
        maps=one.maps,
        examples=one.examples,
    )


def _text(png: bytes) -> str:
    return base64.b64encode(png).decode()


async def _invalid(_: Request, error: Exception) -> Response:
    """A sentence about the first field that is wrong; what was given is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(printable(part)[:50] for part in first["loc"][1:])
    if first["type"] == "json_invalid":
        sentence = NO_JSON
    elif not place:
        sentence = "The body must be a JSON object, with Content-Type: application/json."
    else:
        sentence = f"{place}: {first['msg']}."
    return JSONResponse({"detail": sentence}, 422)


async def _refused(_: Request, error: Exception) -> Response:
    """The sentence of an HTTPException; of those that the libraries raise, one of ours."""
    assert isinstance(error, StarletteHTTPException)
    status, sentence = OF_THE_LIBRARIES.get(error.detail, (error.status_code, error.detail))
    return JSONResponse({"detail": printable(sentence)}, status, error.headers)
