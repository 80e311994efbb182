from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("processor", "shard_map", "lanes", "leaving", "pipe_port")
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    SHARD_MAP_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    PIPE_PORT_FIELD_NUMBER: _ClassVar[int]
    processor: str
    shard_map: ShardMap
    lanes: _containers.RepeatedCompositeFieldContainer[HeldLane]
    leaving: bool
    pipe_port: int
    def __init__(self, processor: _Optional[str] = ..., shard_map: _Optional[_Union[ShardMap, _Mapping]] = ..., lanes: _Optional[_Iterable[_Union[HeldLane, _Mapping]]] = ..., leaving: bool = ..., pipe_port: _Optional[int] = ...) -> None: ...

class ShardMap(_message.Message):
    __slots__ = ("version", "ranges")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    version: int
    ranges: _containers.RepeatedCompositeFieldContainer[BucketRange]
    def __init__(self, version: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[BucketRange, _Mapping]]] = ...) -> None: ...

class BucketRange(_message.Message):
    __slots__ = ("region", "first_bucket", "last_bucket", "shard")
    REGION_FIELD_NUMBER: _ClassVar[int]
    FIRST_BUCKET_FIELD_NUMBER: _ClassVar[int]
    LAST_BUCKET_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    region: str
    first_bucket: int
    last_bucket: int
    shard: str
    def __init__(self, region: _Optional[str] = ..., first_bucket: _Optional[int] = ..., last_bucket: _Optional[int] = ..., shard: _Optional[str] = ...) -> None: ...

class HeldLane(_message.Message):
    __slots__ = ("shard", "epoch")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    shard: str
    epoch: int
    def __init__(self, shard: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...
