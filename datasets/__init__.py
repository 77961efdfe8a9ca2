"""Event data sets: readers, downloads, a cache, and simulated recordings that need no download."""

from snnsim.datasets.cache import cached as cached
from snnsim.datasets.cache import fingerprint as fingerprint
from snnsim.datasets.camera import SaccadeCamera as SaccadeCamera
from snnsim.datasets.dataset import EventDataset as EventDataset
from snnsim.datasets.digits import load_digits_events as load_digits_events
from snnsim.datasets.download import download as download
from snnsim.datasets.download import fetch as fetch
from snnsim.datasets.folders import data_folder as data_folder
from snnsim.datasets.frames import FrameBatch as FrameBatch
from snnsim.datasets.heidelberg import load_shd as load_shd
from snnsim.datasets.heidelberg import load_ssc as load_ssc
from snnsim.datasets.heidelberg import open_shd as open_shd
from snnsim.datasets.heidelberg import open_ssc as open_ssc
from snnsim.datasets.lag_patterns import lag_patterns as lag_patterns
from snnsim.datasets.manifest import DATASETS as DATASETS
from snnsim.datasets.manifest import DatasetCard as DatasetCard
from snnsim.datasets.manifest import RemoteFile as RemoteFile
from snnsim.datasets.nmnist import load_nmnist as load_nmnist
from snnsim.datasets.nmnist import read_nmnist_bin as read_nmnist_bin
from snnsim.datasets.protocols import Protocol as Protocol
from snnsim.datasets.protocols import apply_protocol as apply_protocol
from snnsim.datasets.spikes_file import SpikesFile as SpikesFile
from snnsim.datasets.spikes_hdf5 import read_spikes_hdf5 as read_spikes_hdf5
