"""Bodies of requests and answers, as OpenAPI documents them. Maxima that an option can change are in `Limits`."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from sclgan.serving.drawing import Maps
from sclgan.serving.limits import LARGEST_SEED
from sclgan.serving.words import Kind


def _text(value: str) -> str:
    """Refuses what JSON can say and UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("text", "Half a surrogate pair is no character") from None
    return value


RunName = Annotated[str, Field(max_length=200, description="Name of a run, from `GET /api/server`.")]
Caption = Annotated[str, AfterValidator(_text), Field(description="A sentence; `GET /api/server` says how long.")]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED, description="Seed of the noise, as in `sclgan sample`.")]
NumImages = Annotated[int, Field(ge=1, description="Number of pictures; the most are in `GET /api/server`.")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Request(BaseModel):
    """A body with no fields but these, each of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class WordsRequest(Request):
    run: RunName
    caption: Caption


class PicturesRequest(Request):
    run: RunName
    caption: Caption
    num_images: NumImages = 1
    seed: Seed = 0


class MapsRequest(PicturesRequest):
    picture: Annotated[int, Field(ge=0, description="Which of the pictures, from 0.")] = 0


class BetweenRequest(Request):
    run: RunName
    captions: Annotated[list[Caption], Field(min_length=2, max_length=2)]
    seeds: Annotated[list[Seed], Field(min_length=2, max_length=2)]
    sentence: Annotated[Share, Field(description="0 is the first caption, 1 the second.")]
    noise: Annotated[Share, Field(description="0 is the noise of the first seed, 1 that of the second.")]


class Part(BaseModel):
    text: str
    kind: Kind


class Words(BaseModel):
    parts: Annotated[list[Part], Field(description="Joined they are the caption.")]


class Pictures(BaseModel):
    pictures: list[str] = Field(description="PNG files, in Base64.")
    left_out: list[str] = Field(description="A sentence for each reason why words were left out, with the words.")


class Map(BaseModel):
    label: str
    png: str = Field(description="The picture, bright where the map is; a PNG file, in Base64.")


class PictureMaps(BaseModel):
    maps: list[Map] = Field(description="One for each word that is read, or for each mask from coarse to fine.")


class Between(BaseModel):
    picture: str = Field(description="A PNG file, in Base64.")


class RunFacts(BaseModel):
    name: str
    recipe: str
    step: int = Field(description="Training step of the weights.")
    image_size: int = Field(description="Side of a picture in pixels.")
    max_words: int = Field(description="The most words of a caption that are read.")
    noise_size: int = Field(description="Runs with equal sizes draw a seed from the same noise.")
    maps: Maps | None = Field(description="What `POST /api/maps` shows of a picture.")
    examples: list[str] = Field(description="Up to two captions that the run can read.")


class LimitFacts(BaseModel):
    caption_length: int = Field(description="Characters of a caption.")
    num_images: int = Field(description="Pictures of one request.")
    largest_seed: int
    queue_length: int = Field(description="Requests that may wait for the model.")
    deadline: float = Field(description="Seconds from a request to its answer.")
    body_size: int = Field(description="Bytes of the body of a request.")


class ServerFacts(BaseModel):
    version: str
    runs: list[RunFacts]
    limits: LimitFacts


class Problem(BaseModel):
    detail: str = Field(description="One sentence.")
