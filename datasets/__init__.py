"""Data sets: readers of recordings and images, encoders, downloads, a cache, and simulated recordings."""

from snnsim.datasets import encoders as encoders
from snnsim.datasets.augmentation import RandomShift as RandomShift
from snnsim.datasets.cache import cached as cached
from snnsim.datasets.cache import fingerprint as fingerprint
from snnsim.datasets.dataset import EventDataset as EventDataset
from snnsim.datasets.downloads.data_folder import data_folder as data_folder
from snnsim.datasets.downloads.download import download as download
from snnsim.datasets.downloads.download import fetch as fetch
from snnsim.datasets.downloads.manifest import DATASETS as DATASETS
from snnsim.datasets.downloads.manifest import DatasetCard as DatasetCard
from snnsim.datasets.downloads.manifest import RemoteFile as RemoteFile
from snnsim.datasets.event_camera.camera import SaccadeCamera as SaccadeCamera
from snnsim.datasets.formats.idx import read_idx as read_idx
from snnsim.datasets.formats.idx import read_idx_images as read_idx_images
from snnsim.datasets.formats.image_folders import read_image_folder as read_image_folder
from snnsim.datasets.formats.nmnist_bin import read_nmnist_bin as read_nmnist_bin
from snnsim.datasets.formats.spike_trains.file import SpikesFile as SpikesFile
from snnsim.datasets.formats.spike_trains.read import read_spikes_hdf5 as read_spikes_hdf5
from snnsim.datasets.frames import FrameBatch as FrameBatch
from snnsim.datasets.image_dataset import FrameDataset as FrameDataset
from snnsim.datasets.image_dataset import ImageDataset as ImageDataset
from snnsim.datasets.inner_ear.audio import read_audio as read_audio
from snnsim.datasets.inner_ear.basilar_membrane import BasilarMembrane as BasilarMembrane
from snnsim.datasets.inner_ear.inner_ear import BushyCell as BushyCell
from snnsim.datasets.inner_ear.inner_ear import HairCell as HairCell
from snnsim.datasets.inner_ear.inner_ear import InnerEar as InnerEar
from snnsim.datasets.inner_ear.speech import convert_recordings as convert_recordings
from snnsim.datasets.inner_ear.speech import write_spoken as write_spoken
from snnsim.datasets.protocols import Protocol as Protocol
from snnsim.datasets.protocols import apply_protocol as apply_protocol
from snnsim.datasets.sets.cifar10 import load_cifar10 as load_cifar10
from snnsim.datasets.sets.digits import load_digits_events as load_digits_events
from snnsim.datasets.sets.lag_patterns import lag_patterns as lag_patterns
from snnsim.datasets.sets.mnist import load_fashion_mnist as load_fashion_mnist
from snnsim.datasets.sets.mnist import load_mnist as load_mnist
from snnsim.datasets.sets.nmnist import load_nmnist as load_nmnist
from snnsim.datasets.sets.shd_ssc import load_shd as load_shd
from snnsim.datasets.sets.shd_ssc import load_ssc as load_ssc
from snnsim.datasets.sets.shd_ssc import open_shd as open_shd
from snnsim.datasets.sets.shd_ssc import open_ssc as open_ssc
from snnsim.datasets.task_streams import TaskStream as TaskStream
from snnsim.datasets.task_streams import permuted_tasks as permuted_tasks
from snnsim.datasets.task_streams import split_tasks as split_tasks

__all__ = [
    "DATASETS",
    "BasilarMembrane",
    "BushyCell",
    "DatasetCard",
    "EventDataset",
    "FrameBatch",
    "FrameDataset",
    "HairCell",
    "ImageDataset",
    "InnerEar",
    "Protocol",
    "RandomShift",
    "RemoteFile",
    "SaccadeCamera",
    "SpikesFile",
    "TaskStream",
    "apply_protocol",
    "cached",
    "convert_recordings",
    "data_folder",
    "download",
    "encoders",
    "fetch",
    "fingerprint",
    "lag_patterns",
    "load_cifar10",
    "load_digits_events",
    "load_fashion_mnist",
    "load_mnist",
    "load_nmnist",
    "load_shd",
    "load_ssc",
    "open_shd",
    "open_ssc",
    "permuted_tasks",
    "read_audio",
    "read_idx",
    "read_idx_images",
    "read_image_folder",
    "read_nmnist_bin",
    "read_spikes_hdf5",
    "split_tasks",
    "write_spoken",
]
